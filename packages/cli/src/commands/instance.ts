/** `holdfast instance …`: a space of locks for each team. */
import type { Command } from 'commander'
import { type AccessOptions, withAccess } from '../access.ts'
import {
  allInstances,
  findInstance,
  type InstanceView,
  instancePath,
  printInstance,
  printInstances,
  reclaimedInstances,
} from '../administration/instances.ts'
import { parseCount } from '../duration.ts'
import { note } from '../output.ts'
import { restOf } from '../rest.ts'

type Fields = {
  plan?: string | undefined
  capacityUnits?: number | undefined
  region?: string
  account?: string
  allowSameName?: boolean
  name?: string
}

export function define(program: Command): void {
  const instance = program
    .command('instance')
    .summary('give teams instances of their own, and look after them')
    .description(
      'An instance is a team’s own space of locks, with its own plan, limits, credentials, policies and trail. Whoever has no instance of their own uses `default`.',
    )
    .enablePositionalOptions()
  withAccess(instance.command('create'))
    .description('Make an instance. Give its team a key with `holdfast credential create --instance ID`.')
    .argument('<name>', 'what people call it')
    .option('--plan <plan>', 'its plan; `holdfast plan list` shows those on offer', 'standard')
    .option('--capacity-units <n>', 'how much it may use (default: the least of the plan)', parseCount)
    .option('--region <region>', 'where it is, for people and bills')
    .option('--account <account>', 'whose account it is billed to')
    .option('--allow-same-name', 'make another if there is one of that name already')
    .action(async (name: string, { allowSameName, ...options }: AccessOptions & Fields) => {
      const { plan, capacityUnits, region, account } = options
      const body = { name, plan, capacityUnits, region, account, uniqueName: allowSameName !== true }
      printInstance(await restOf(options).call<InstanceView>('POST', '/v2/instances', { body }), options)
    })
  withAccess(instance.command('list'))
    .description('List the instances that you may see.')
    .option('--reclaimed', 'those that are gone for good, for two months; for whoever runs the service')
    .action(async ({ reclaimed, ...options }: AccessOptions & { reclaimed?: boolean }) => {
      const rest = restOf(options)
      printInstances(await (reclaimed ? reclaimedInstances(rest) : allInstances(rest)), options)
    })
  withAccess(instance.command('show'))
    .description('Look at an instance: its plan, its limits, its state.')
    .argument('<instance>', 'id, CRN or name')
    .action(async (named: string, options: AccessOptions) =>
      printInstance(await findInstance(restOf(options), named), options),
    )
  withAccess(instance.command('resize'))
    .description('Change how much an instance may use. Metered from now on; in force within seconds.')
    .argument('<instance>', 'id, CRN or name')
    .option('--capacity-units <n>', 'how much it may use', parseCount)
    .option('--plan <plan>', 'another plan')
    .action((named: string, { capacityUnits, plan, ...options }: AccessOptions & Fields) =>
      patch(named, options, { capacityUnits, plan }),
    )
  withAccess(instance.command('rename'))
    .description('Call an instance something else.')
    .argument('<instance>', 'id, CRN or name')
    .argument('<new-name>', 'what people call it from now on')
    .action((named: string, name: string, options: AccessOptions) => patch(named, options, { name }))
  const verbs = {
    enable: 'Let an instance be used again.',
    disable: 'Cut off all access to an instance, open connections too. Nothing of it is lost.',
    restore: 'Take a deleted instance back.',
  }
  for (const [verb, description] of Object.entries(verbs))
    withAccess(instance.command(verb))
      .description(description)
      .argument('<instance>', 'id, CRN or name')
      .action(async (named: string, options: AccessOptions) => {
        const rest = restOf(options)
        const { id } = await findInstance(rest, named)
        printInstance(await rest.call<InstanceView>('POST', instancePath(id, verb)), options)
      })
  withAccess(instance.command('delete'))
    .description('Delete an instance. For a week it can be restored; `--now` lets it go for good at once.')
    .argument('<instance>', 'id, CRN or name')
    .option('--now', 'no week: nothing of it can be had back')
    .action(async (named: string, { now, ...options }: AccessOptions & { now?: boolean }) => {
      const rest = restOf(options)
      const { id } = await findInstance(rest, named)
      const deleted = await rest.call<InstanceView>('DELETE', instancePath(id))
      if (!now) return printInstance(deleted, options)
      await rest.call('POST', instancePath(id, 'reclaim'))
      note('gone for good')
    })
}

async function patch(named: string, options: AccessOptions, body: Fields): Promise<void> {
  const rest = restOf(options)
  const { id } = await findInstance(rest, named)
  printInstance(await rest.call<InstanceView>('PATCH', instancePath(id), { body }), options)
}
