import { errors } from '@holdfast/protocol/errors'
import { v2 } from '@holdfast/protocol/v2'
import { mayIn } from '../administration/asking.ts'
import { answer, type Call, route } from '../call.ts'
import { note } from '../permission.ts'
import { refuse } from '../reply.ts'
import { timestamp } from '../views.ts'

export const getUsage = route(v2.getUsage, async call => {
  const { caller, doors, query } = call
  if (query.instance !== undefined) await refuseForeign(call, query.instance)
  const { instance, planId, rows, month } = await doors.usage(query.instance ?? caller.instance, {
    ...(query.from !== undefined && { fromMs: Date.parse(query.from) }),
    ...(query.to !== undefined && { toMs: Date.parse(query.to) }),
    ...(query.by !== undefined && { by: query.by }),
  })
  return answer(200, {
    instance: instance.id,
    crn: instance.crn,
    plan: instance.plan,
    plan_id: planId,
    region: instance.region,
    capacity_units: instance.capacityUnits,
    usage: rows.map(row => ({
      start: timestamp(row.fromMs),
      end: timestamp(row.toMs),
      capacity_unit_hours: row.unitHours,
      by_plan: row.byPlan.map(part => ({ plan_id: part.planId, capacity_unit_hours: part.unitHours })),
      cost_usd: row.costUsd,
      operations: row.operations,
    })),
    month: {
      start: timestamp(month.fromMs),
      end: timestamp(month.toMs),
      capacity_unit_hours: month.unitHours,
      cost_usd: month.costUsd,
      forecast_usd: month.forecastUsd,
    },
  })
})

/** Another than the caller's own is for those who run the service, also when it is gone for good. It answers like one that is not there. @throws {Refused} */
async function refuseForeign(call: Pick<Call, 'caller' | 'doors' | 'trace'>, instance: string): Promise<void> {
  const { caller, doors, trace } = call
  const action = 'usage.read'
  if (instance === caller.instance || (await mayIn(call, instance, action))) return
  const reason = `There is no instance \`${instance}\`.`
  note(doors, caller, { deed: { action, lock: null, instance }, trace, reason, status: errors.not_found.status })
  throw refuse('not_found', reason)
}
