/** What is on offer, as OSB and IBM's resource controller read it. Texts for people live in the platform's own catalogue. */
import { planIdOf, serviceIdOf } from '../../instances/catalog-ids.ts'
import type { PlanRecord } from '../../registry/records.ts'
import { invalid } from '../reply.ts'
import { type Answered, type Asked, options } from './asked.ts'
import { BrokerRefusal } from './refusal.ts'
import { bindingParameters, instanceParameters } from './schemas.ts'

/** The plan of an instance, as the catalogue calls it. */
export function idsOf(asked: Pick<Asked, 'doors'>, plan: string): { service_id: string; plan_id: string } {
  const { serviceName } = options(asked)
  return { service_id: serviceIdOf(serviceName), plan_id: planIdOf({ serviceName, plan }) }
}

/** @throws {Refused} when it is not this service's */
export function refuseOtherService(asked: Asked, id: unknown): void {
  if (id === serviceIdOf(options(asked).serviceName)) return
  throw invalid('field', { name: 'service_id', message: 'There is no such service in the catalogue here.' })
}

/** The plan that the catalogue calls so. @throws {Refused} */
export function planOf(asked: Asked, id: string): string {
  const { registry, serviceName } = options(asked)
  for (const { id: plan } of registry.all('plan')) if (planIdOf({ serviceName, plan }) === id) return plan
  throw invalid('field', { name: 'plan_id', message: 'There is no such plan in the catalogue here.' })
}

/** No plan has any. @throws {Refused} */
export function refuseMaintenance(body: { maintenance_info?: unknown }): void {
  if (body.maintenance_info === undefined) return
  throw new BrokerRefusal(422, 'MaintenanceInfoConflict', 'The catalogue has no `maintenance_info`: leave it out.')
}

export function catalog(asked: Asked): Answered {
  const { registry, serviceName } = options(asked)
  const plans = [...registry.all('plan')].filter(({ state }) => state === 'offered')
  const service = {
    id: serviceIdOf(serviceName),
    name: serviceName,
    description: 'Distributed locks with fencing tokens, leader election and a trail of who held what.',
    bindable: true,
    instances_retrievable: true,
    // The secret of a key is kept nowhere, so it is told once.
    bindings_retrievable: false,
    plan_updateable: true,
    tags: ['rc_compatible', 'iam_compatible', 'locks'],
    metadata: { rc_compatible: true, iam_compatible: true, provisionable: true, displayName: 'Holdfast' },
    plans: plans.map(plan => planView(asked, plan)),
  }
  return { status: 200, body: { services: [service] } }
}

function planView(asked: Asked, plan: PlanRecord): object {
  const block = plan.perUnits === 1 ? 'unit' : `${plan.perUnits} units`
  const cost = {
    unitId: 'CAPACITY_UNIT_HOURS',
    unit: `hour of ${block}`,
    unitDisplayName: 'Capacity unit hours',
    resourceDisplayName: 'Capacity',
    model: 'standard_add',
    rating_model: 'linear_tier',
    amount: { usd: plan.priceUsd },
  }
  return {
    id: idsOf(asked, plan.id).plan_id,
    name: plan.id,
    description: plan.description || plan.title,
    free: plan.priceUsd === 0,
    bindable: true,
    plan_updateable: true,
    metadata: { displayName: plan.title, costs: [cost] },
    schemas: {
      service_instance: {
        create: { parameters: schemaOf(instanceParameters) },
        update: { parameters: schemaOf(instanceParameters) },
      },
      service_binding: { create: { parameters: schemaOf(bindingParameters) } },
    },
  }
}

function schemaOf(schema: object): object {
  return { $schema: 'http://json-schema.org/draft-07/schema#', ...schema }
}
