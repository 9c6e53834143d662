/** `ibmcloud resource service-instance…` and `reclamation…`. */
import type { Command } from 'commander'
import {
  allInstances,
  findInstance,
  type InstanceView,
  instancePath,
  printInstance,
  printInstances,
} from '../administration/instances.ts'
import { confirm } from '../confirm.ts'
import { safe } from '../output.ts'
import { restOf } from '../rest.ts'
import { checkService, type Ibm, parametersOf, serviceOf, withIbm, withIdle } from './options.ts'

export function defineInstances(resource: Command): void {
  defineCreate(resource)
  defineUpdate(resource)
  withIbm(resource.command('service-instances'))
    .description('List the instances.')
    .option('--service-name <name>', 'only of the service of this name')
    .action(async ({ serviceName, ...options }: Ibm) => {
      const all = await allInstances(restOf(options))
      printInstances(serviceName === undefined ? all : all.filter(one => serviceOf(one) === serviceName), options)
    })
  withIbm(resource.command('service-instance'))
    .description('Look at an instance.')
    .argument('<name>', 'id, CRN or name')
    .action(async (named: string, options: Ibm) => printInstance(await findInstance(restOf(options), named), options))
  withIbm(resource.command('service-instance-delete'))
    .description('Delete an instance; for a week `reclamation-restore` takes it back.')
    .argument('<name>', 'id, CRN or name')
    .option('-f, --force', 'without a question')
    .action(async (named: string, options: Ibm) => {
      const rest = restOf(options)
      const { id, name } = await findInstance(rest, named)
      if (!options.force) await confirm(`Delete the instance ${safe(name)} (${id}), with its locks and keys?`)
      printInstance(await rest.call<InstanceView>('DELETE', instancePath(id)), options)
    })
  withIbm(resource.command('reclamations'))
    .description('List the deleted instances that can still be restored.')
    .action(async (options: Ibm) => {
      const all = await allInstances(restOf(options))
      printInstances(
        all.filter(({ state }) => state === 'pending_reclamation'),
        options,
      )
    })
  withIbm(resource.command('reclamation-restore'))
    .description('Take a deleted instance back.')
    .argument('<id>', 'id, CRN or name')
    .action(async (named: string, options: Ibm) => {
      const rest = restOf(options)
      const { id } = await findInstance(rest, named)
      printInstance(await rest.call<InstanceView>('POST', instancePath(id, 'restore')), options)
    })
}

function defineCreate(resource: Command): void {
  withIdle(withIbm(resource.command('service-instance-create')), ['group', 'serviceEndpoints', 'allowCleanup', 'lock'])
    .description('Make an instance.')
    .argument('<name>', 'what people call it')
    .argument('<service>', 'the name of the service, as CRNs have it')
    .argument('<plan>', 'its plan')
    .argument('[location]', 'its region')
    .option('-p, --parameters <json>', 'JSON, or @FILE: {"capacity_units": 20}')
    .option('-l, --location <location>', 'its region, as the description of the service has it')
    .action(async (name: string, service: string, plan: string, location: string | undefined, options: Ibm) => {
      await checkService(options, service)
      const region = location ?? options.location
      const body = { ...parametersOf(options), name, plan, ...(region === undefined ? {} : { region }) }
      printInstance(await restOf(options).call<InstanceView>('POST', '/v2/instances', { body }), options)
    })
}

function defineUpdate(resource: Command): void {
  withIbm(resource.command('service-instance-update'))
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
}
