/** `/v2/instances` and `/v2/plans`. */
import { toCamel } from '@holdfast/protocol/casing'
import { errors } from '@holdfast/protocol/errors'
import type { Action } from '@holdfast/protocol/operation'
import { v2 } from '@holdfast/protocol/v2'
import { type AdministrationOptions, type By, known } from '../../administration/administration.ts'
import * as instances from '../../administration/instances.ts'
import * as lifecycle from '../../administration/lifecycle.ts'
import { putPlan as put } from '../../administration/permissions.ts'
import type { InstanceRecord, ReclaimedRecord } from '../../registry/records.ts'
import { answer, type Call, route } from '../call.ts'
import { expecting, shown } from '../etag.ts'
import { note } from '../permission.ts'
import { Refused } from '../reply.ts'
import { administrationOf, byOf, mayIn, pageOfRecords, sideOf } from './asking.ts'
import { wireInstance, wirePlan } from './views.ts'

const listPlans = route(v2.listPlans, async call => {
  const { rows, ...page } = pageOfRecords(call, administrationOf(call).registry.all('plan'))
  return answer(200, { plans: rows.map(wirePlan), ...page })
})

const putPlan = route(v2.putPlan, async call => {
  const plan = await put(administrationOf(call), byOf(call), { id: call.params.id, ...toCamel(call.body) })
  return answer(200, wirePlan(plan))
})

/** Only what may be seen is listed; whoever may see none has an empty list. What is gone for good is to be seen in `default` alone. */
const listInstances = route(v2.listInstances, async call => {
  const { registry } = administrationOf(call)
  const { state } = call.query
  const records = state === 'reclaimed' ? registry.all('reclaimed') : registry.all('instance')
  const visible: (InstanceRecord | ReclaimedRecord)[] = []
  for (const record of records)
    if ((state ?? record.state) === record.state && (await mayIn(call, record.id, 'instance.read')))
      visible.push(record)
  const { rows, ...page } = pageOfRecords(call, visible)
  return answer(200, { instances: rows.map(record => view(call, record)), ...page })
})

const createInstance = route(v2.createInstance, async call => {
  const record = await instances.createInstance(administrationOf(call), byOf(call), toCamel(call.body))
  return shown(201, view(call, record))
})

const getInstance = route(v2.getInstance, async call =>
  shown(200, view(call, known(administrationOf(call), 'instance', call.params.instance))),
)

const patchInstance = route(v2.patchInstance, async call => {
  if (call.body.overrides !== undefined) await refuseOverrides(call)
  const expected = expecting(call.request.headers['if-match'], (before: InstanceRecord) => view(call, before))
  const change = { ...toCamel(call.body), ...expected }
  const record = await instances.updateInstance(administrationOf(call), byOf(call), call.params.instance, change)
  return shown(200, view(call, record))
})

type Naming = Pick<Call, 'caller' | 'doors' | 'trace'> & { params: { instance: string } }

/** A tenant that gave itself limits would use what it does not pay for: they are whoever runs the service's to give (decision 0132). @throws {Refused} */
async function refuseOverrides(call: Naming): Promise<void> {
  const action = 'instance.update'
  if ((await sideOf(call, action)) === 'service') return
  const { caller, doors, params, trace } = call
  const reason =
    'Limits of an instance’s own are given by whoever runs the service: `overrides` need `instance.update` in `default`. Change the number of capacity units instead.'
  const deed = { action, lock: null, instance: params.instance } as const
  note(doors, caller, { deed, trace, reason, status: errors.forbidden.status })
  throw new Refused({ code: 'forbidden', message: reason, target: { type: 'field', name: 'overrides' } })
}

type Act = (options: AdministrationOptions, by: By, closing: lifecycle.Closing) => Promise<InstanceRecord>

async function closingOf(call: Naming, action: Action): Promise<lifecycle.Closing> {
  return { id: call.params.instance, side: await sideOf(call, action) }
}

/** What is done with an instance by naming it, and answered with how it is then. */
const verb = (action: Action, act: Act) => async (call: Naming) =>
  shown(200, view(call, await act(administrationOf(call), byOf(call), await closingOf(call, action))))

const enableInstance = route(v2.enableInstance, verb(v2.enableInstance.action, lifecycle.enableInstance))
const disableInstance = route(v2.disableInstance, verb(v2.disableInstance.action, lifecycle.disableInstance))
const deleteInstance = route(v2.deleteInstance, verb(v2.deleteInstance.action, lifecycle.deleteInstance))
const restoreInstance = route(v2.restoreInstance, verb(v2.restoreInstance.action, lifecycle.restoreInstance))

const reclaimInstance = route(v2.reclaimInstance, async call => {
  const { forget } = call.doors.administration
  const closing = await closingOf(call, v2.reclaimInstance.action)
  await lifecycle.reclaimInstance(administrationOf(call), byOf(call), { ...closing, forget })
  return answer(204, null)
})

function view(call: Pick<Call, 'doors'>, record: InstanceRecord | ReclaimedRecord) {
  return wireInstance(record, call.doors.administration.registry.get('plan', record.plan))
}

export const instanceRoutes = [
  listPlans,
  putPlan,
  listInstances,
  createInstance,
  getInstance,
  patchInstance,
  enableInstance,
  disableInstance,
  deleteInstance,
  restoreInstance,
  reclaimInstance,
]
