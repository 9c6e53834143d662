/** Instances as platforms order them. Everything is done when it is answered, so nothing is ever in progress. */
import { toCamel } from '@holdfast/protocol/casing'
import { RECORD_NAME_CHARS_MAX } from '@holdfast/protocol/limits'
import type { Static } from 'typebox'
import { updateInstance } from '../../administration/instances.ts'
import { closerOf, deleteInstance } from '../../administration/lifecycle.ts'
import { everOrdered, orderedInstance, orderInstance } from '../../administration/orders.ts'
import { type Answered, type Asked, gone, instanceOf, nameOf, options } from './asked.ts'
import { idsOf, planOf, refuseMaintenance, refuseOtherService } from './catalog.ts'
import type { provisionBody, updateBody } from './schemas.ts'

export async function provision(asked: Asked): Promise<Answered> {
  const body = asked.body as Static<typeof provisionBody> // accepted by this schema
  refuseOtherService(asked, body.service_id)
  refuseMaintenance(body)
  const { account_id, instance_name } = body.context ?? {}
  const name = nameWithin(instance_name)
  const ordered = {
    plan: planOf(asked, body.plan_id),
    ...(account_id !== undefined && { account: account_id }),
    ...(name !== null && { name }),
    ...toCamel(body.parameters ?? {}),
  }
  const orderedAs = nameOf(asked, 'instance_id')
  const { isNew } = await orderInstance(options(asked), asked.by, { orderedAs, ordered })
  return { status: isNew ? 201 : 200, body: { dashboard_url: dashboardOf(asked) } }
}

/** As much as fits of how the platform calls it; null: that is no name. Whatever it is called there, what was ordered is what is asked for. */
function nameWithin(said: unknown): string | null {
  if (typeof said !== 'string') return null
  let name = ''
  for (const char of said.toWellFormed().replaceAll(/\p{Cc}/gu, '')) {
    if (name.length + char.length > RECORD_NAME_CHARS_MAX) break
    name += char
  }
  return name === '' ? null : name
}

export async function update(asked: Asked): Promise<Answered> {
  const body = asked.body as Static<typeof updateBody> // accepted by this schema
  const { id } = instanceOf(asked)
  refuseOtherService(asked, body.service_id)
  refuseMaintenance(body)
  const plan = body.plan_id === undefined ? {} : { plan: planOf(asked, body.plan_id) }
  await updateInstance(options(asked), asked.by, id, { ...toCamel(body.parameters ?? {}), ...plan })
  return { status: 200, body: { dashboard_url: dashboardOf(asked) } }
}

/** It can be restored for a week by whoever runs the service; the platform does not see it again. */
export async function deprovision(asked: Asked): Promise<Answered> {
  const record = everOrdered(options(asked), nameOf(asked, 'instance_id'))
  // Deleted by its own people it is not yet deleted by the platform: they would restore it.
  const isThere = record?.state !== 'pending_reclamation'
  if (!record || (!isThere && closerOf(record) === 'service')) return gone
  refuseOtherService(asked, asked.query.service_id)
  await deleteInstance(options(asked), asked.by, { id: record.id, side: 'service' })
  return isThere ? { status: 200, body: {} } : gone
}

export function show(asked: Asked): Answered {
  const { plan, name, capacityUnits } = instanceOf(asked)
  const parameters = { name, capacity_units: capacityUnits }
  return { status: 200, body: { ...idsOf(asked, plan), dashboard_url: dashboardOf(asked), parameters } }
}

export function lastOperation(asked: Asked): Answered {
  const record = orderedInstance(options(asked), nameOf(asked, 'instance_id'))
  return record ? { status: 200, body: { state: 'succeeded' } } : gone
}

function dashboardOf({ url }: Asked): string {
  return `${url}/`
}
