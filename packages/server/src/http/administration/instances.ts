/** `/v2/instances` and `/v2/plans`. */
import { toCamel } from '@holdfast/protocol/casing'
import { v2 } from '@holdfast/protocol/v2'
import { known } from '../../administration/administration.ts'
import * as instances from '../../administration/instances.ts'
import { putPlan as put } from '../../administration/permissions.ts'
import type { InstanceRecord } from '../../registry/records.ts'
import { answer, type Call, route } from '../call.ts'
import { administrationOf, byOf, mayIn, pageOfRecords } from './asking.ts'
import { wireInstance, wirePlan } from './views.ts'

const listPlans = route(v2.listPlans, async call => {
  const { rows, ...page } = pageOfRecords(call, administrationOf(call).registry.all('plan'))
  return answer(200, { plans: rows.map(wirePlan), ...page })
})

const putPlan = route(v2.putPlan, async call => {
  const plan = await put(administrationOf(call), byOf(call), { id: call.params.id, ...toCamel(call.body) })
  return answer(200, wirePlan(plan))
})

/** Only what may be seen is listed; whoever may see none has an empty list. */
const listInstances = route(v2.listInstances, async call => {
  const visible: InstanceRecord[] = []
  for (const record of administrationOf(call).registry.all('instance'))
    if (await mayIn(call, record.id, 'instance.read')) visible.push(record)
  const { rows, ...page } = pageOfRecords(call, visible)
  return answer(200, { instances: rows.map(record => view(call, record)), ...page })
})

const createInstance = route(v2.createInstance, async call => {
  const record = await instances.createInstance(administrationOf(call), byOf(call), toCamel(call.body))
  return answer(201, view(call, record))
})

const getInstance = route(v2.getInstance, async call =>
  answer(200, view(call, known(administrationOf(call), 'instance', call.params.instance))),
)

const patchInstance = route(v2.patchInstance, async call => {
  const change = toCamel(call.body)
  const record = await instances.updateInstance(administrationOf(call), byOf(call), call.params.instance, change)
  return answer(200, view(call, record))
})

type Naming = Pick<Call, 'caller' | 'doors' | 'trace'> & { params: { instance: string } }

/** What is done with an instance by naming it, and answered with how it is then. */
const verb = (act: typeof instances.enableInstance) => async (call: Naming) =>
  answer(200, view(call, await act(administrationOf(call), byOf(call), call.params.instance)))

const enableInstance = route(v2.enableInstance, verb(instances.enableInstance))
const disableInstance = route(v2.disableInstance, verb(instances.disableInstance))
const deleteInstance = route(v2.deleteInstance, verb(instances.deleteInstance))
const restoreInstance = route(v2.restoreInstance, verb(instances.restoreInstance))

const reclaimInstance = route(v2.reclaimInstance, async call => {
  const { forget } = call.doors.administration
  await instances.reclaimInstance(administrationOf(call), byOf(call), { id: call.params.instance, forget })
  return answer(204, null)
})

function view(call: Pick<Call, 'doors'>, record: InstanceRecord) {
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
