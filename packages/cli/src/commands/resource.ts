/**
 * `holdfast resource …`: the verbs of `ibmcloud resource` for instances and keys, so that what people know by heart and have in scripts goes on
 * working with another first word (ECOSYSTEM 1.10). They do what `instance` and `credential` do.
 */
import { readFileSync } from 'node:fs'
import type { Command } from 'commander'
import { type AccessOptions, withAccess } from '../access.ts'
import {
  allCredentials,
  findCredential,
  type NewCredential,
  printCredential,
  printCredentials,
  printNewCredential,
} from '../administration/credentials.ts'
import {
  allInstances,
  findInstance,
  type InstanceView,
  instancePath,
  printInstance,
  printInstances,
} from '../administration/instances.ts'
import { CommandFailure, exitCodes } from '../exit.ts'
import { note } from '../output.ts'
import { restOf } from '../rest.ts'

type Ibm = AccessOptions & {
  parameters?: string
  group?: string
  location?: string
  name?: string
  servicePlanId?: string
  serviceName?: string
  instanceName?: string
  instanceId?: string
}

export function define(program: Command): void {
  const resource = program
    .command('resource')
    .summary('the verbs of `ibmcloud resource`, for instances and keys')
    .description(
      'The verbs of `ibmcloud resource`, for those who know them by heart. `holdfast instance` and `holdfast credential` do the same.',
    )
    .enablePositionalOptions()
  defineInstances(resource)
  defineKeys(resource)
}

function defineInstances(resource: Command): void {
  withAccess(resource.command('service-instance-create'))
    .description('Make an instance.')
    .argument('<name>', 'what people call it')
    .argument('<service>', 'the name of the service; any')
    .argument('<plan>', 'its plan')
    .argument('[location]', 'its region')
    .option('-p, --parameters <json>', 'JSON, or @FILE: {"capacity_units": 20}')
    .option('-g, --group <group>', 'a resource group; not used')
    .option('-l, --location <location>', 'its region, as the description of the service has it')
    .action(async (name: string, _service: string, plan: string, region: string | undefined, options: Ibm) => {
      const body = { ...parametersOf(options), name, plan, ...definedRegion(region ?? options.location) }
      printInstance(await restOf(options).call<InstanceView>('POST', '/v2/instances', { body }), options)
    })
  withAccess(resource.command('service-instances'))
    .description('List the instances.')
    .option('--service-name <name>', 'the name of the service; any')
    .action(async (options: Ibm) => printInstances(await allInstances(restOf(options)), options))
  withAccess(resource.command('service-instance'))
    .description('Look at an instance.')
    .argument('<name>', 'id, CRN or name')
    .action(async (named: string, options: Ibm) => printInstance(await findInstance(restOf(options), named), options))
  withAccess(resource.command('service-instance-update'))
    .description('Change an instance.')
    .argument('<name>', 'id, CRN or name')
    .option('-n, --name <name>', 'what people call it from now on')
    .option('--service-plan-id <plan>', 'another plan')
    .option('-p, --parameters <json>', 'JSON, or @FILE: {"capacity_units": 20}')
    .action(async (named: string, options: Ibm) => {
      const rest = restOf(options)
      const { id } = await findInstance(rest, named)
      const { name, servicePlanId } = options
      const body = {
        ...parametersOf(options),
        ...(name === undefined ? {} : { name }),
        ...(servicePlanId === undefined ? {} : { plan: servicePlanId }),
      }
      printInstance(await rest.call<InstanceView>('PATCH', instancePath(id), { body }), options)
    })
  withAccess(resource.command('service-instance-delete'))
    .description('Delete an instance; for a week `reclamation-restore` takes it back.')
    .argument('<name>', 'id, CRN or name')
    .option('-f, --force', 'nothing is asked anyway')
    .action(async (named: string, options: Ibm) => {
      const rest = restOf(options)
      const { id } = await findInstance(rest, named)
      printInstance(await rest.call<InstanceView>('DELETE', instancePath(id)), options)
    })
  withAccess(resource.command('reclamations'))
    .description('List the deleted instances that can still be restored.')
    .action(async (options: Ibm) => {
      const all = await allInstances(restOf(options))
      printInstances(
        all.filter(({ state }) => state === 'pending_reclamation'),
        options,
      )
    })
  withAccess(resource.command('reclamation-restore'))
    .description('Take a deleted instance back.')
    .argument('<id>', 'id, CRN or name')
    .action(async (named: string, options: Ibm) => {
      const rest = restOf(options)
      const { id } = await findInstance(rest, named)
      printInstance(await rest.call<InstanceView>('POST', instancePath(id, 'restore')), options)
    })
}

function defineKeys(resource: Command): void {
  withAccess(resource.command('service-key-create'))
    .description('Make a key to an instance.')
    .argument('<name>', 'what it is for')
    .argument('[role]', 'Reader, Writer, Manager …', 'Writer')
    .option('--instance-name <name>', 'of which instance')
    .option('--instance-id <id>', 'of which instance')
    .option('-p, --parameters <json>', 'JSON, or @FILE: {"expires_at": "…"}')
    .option('-f, --force', 'nothing is asked anyway')
    .action(async (name: string, role: string, options: Ibm) => {
      const rest = await restOfNamed(options)
      const body = { ...parametersOf(options), name, roles: [role.startsWith('crn:') ? role : role.toLowerCase()] }
      printNewCredential(await rest.call<NewCredential>('POST', '/v2/credentials', { body }), options)
    })
  withAccess(resource.command('service-keys'))
    .description('List the keys to an instance.')
    .option('--instance-name <name>', 'of which instance')
    .option('--instance-id <id>', 'of which instance')
    .action(async (options: Ibm) => printCredentials(await allCredentials(await restOfNamed(options)), options))
  withAccess(resource.command('service-key'))
    .description('Look at a key, without its secret: that was shown once, when it was made.')
    .argument('<name>', 'id or name')
    .option('--instance-name <name>', 'of which instance')
    .option('--instance-id <id>', 'of which instance')
    .action(async (named: string, options: Ibm) =>
      printCredential(await findCredential(await restOfNamed(options), named), options),
    )
  withAccess(resource.command('service-key-delete'))
    .description('Delete a key, and end it if it is active.')
    .argument('<name>', 'id or name')
    .option('--instance-name <name>', 'of which instance')
    .option('--instance-id <id>', 'of which instance')
    .option('-f, --force', 'nothing is asked anyway')
    .action(async (named: string, options: Ibm) => {
      const rest = await restOfNamed(options)
      const { id } = await findCredential(rest, named)
      await rest.call('DELETE', `/v2/credentials/${id}`)
      note(`deleted ${id}`)
    })
}

/** Within the instance that is named, if one is. */
async function restOfNamed(options: Ibm): Promise<ReturnType<typeof restOf>> {
  const named = options.instanceId ?? options.instanceName
  if (named === undefined) return restOf(options)
  return restOf({ ...options, instance: (await findInstance(restOf(options), named)).id })
}

function definedRegion(region: string | undefined): { region?: string } {
  return region === undefined ? {} : { region }
}

function parametersOf({ parameters }: Ibm): Record<string, unknown> {
  if (parameters === undefined) return {}
  try {
    const text = parameters.startsWith('@') ? readFileSync(parameters.slice(1), 'utf8') : parameters
    const value: unknown = JSON.parse(text)
    // Looked at just before.
    if (typeof value === 'object' && value !== null && !Array.isArray(value)) return value as Record<string, unknown>
    throw new Error('it is no object')
  } catch (error) {
    throw new CommandFailure(
      exitCodes.usage,
      `--parameters is not JSON: ${error instanceof Error ? error.message : String(error)}.`,
    )
  }
}
