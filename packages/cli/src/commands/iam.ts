/** `holdfast iam …`: the verbs of `ibmcloud iam` for policies of services and for keys (ECOSYSTEM 1.10). They do what `policy` and `credential` do. */
import type { Command } from 'commander'
import { findCredential, type NewCredential } from '../administration/credentials.ts'
import { roleNamed, subjectOf } from '../administration/options.ts'
import { type PolicyView, printPolicy } from '../administration/policies.ts'
import { showNewCredential, subjectOfServiceId } from '../administration/service-keys.ts'
import { checkService, type Ibm, restOfNamed, withIbm } from '../ibmcloud/options.ts'
import { note } from '../output.ts'
import { restOf } from '../rest.ts'

type Granting = Ibm & { roles: string; serviceInstance?: string }

export function define(program: Command): void {
  const iam = program
    .command('iam')
    .summary('the verbs of `ibmcloud iam`, for policies and keys')
    .description(
      'The verbs of `ibmcloud iam`, for those who know them by heart. `holdfast policy` and `holdfast credential` do the same, and more.',
    )
    .enablePositionalOptions()
  withIbm(iam.command('service-policy-create'))
    .description('Grant roles on all locks of an instance to a service id, or to a key.')
    .argument('<service-id>', 'ServiceId-… of IBM Cloud IAM, or the id or name of a key')
    .requiredOption('--roles <roles>', 'what it may do, with commas between them: Reader,Writer')
    .option('--service-name <name>', 'the name of the service, as CRNs have it')
    .option('--service-instance <guid>', 'on which instance')
    .action(async (named: string, { serviceInstance: instanceId, ...options }: Granting) => {
      if (options.serviceName !== undefined) await checkService(options, options.serviceName)
      const rest = await restOfNamed(instanceId === undefined ? options : { ...options, instanceId })
      const body = {
        subjects: [await subjectNamed(rest, named)],
        roles: options.roles.split(',').map(role => roleNamed(role.trim())),
      }
      printPolicy(await rest.call<PolicyView>('POST', '/v2/policies', { body }), options)
    })
  withIbm(iam.command('api-key-create'))
    .description('Make a key that may do nothing until a policy says what.')
    .argument('<name>', 'what it is for')
    .action(async (name: string, options: Ibm) => {
      const rest = restOf(options)
      const made = await rest.call<NewCredential>('POST', '/v2/credentials', { body: { name, roles: [] } })
      await showNewCredential(rest, made, options)
      note(
        `it may do nothing yet: \`holdfast iam service-policy-create ${made.credential.id} --roles Writer\` grants a role`,
      )
    })
}

async function subjectNamed(rest: ReturnType<typeof restOf>, named: string): Promise<string> {
  const subject = subjectOfServiceId(named) ?? subjectOf(named)
  return subject.includes(':') ? subject : (await findCredential(rest, named)).subject
}
