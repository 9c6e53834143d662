import { v2 } from '@holdfast/protocol/v2'
import { answer, route } from '../call.ts'
import { timestamp } from '../views.ts'

export const getUsage = route(v2.getUsage, async ({ caller, doors, query }) => {
  const { instance, rows, month } = await doors.usage(caller.instance, {
    ...(query.from !== undefined && { fromMs: Date.parse(query.from) }),
    ...(query.to !== undefined && { toMs: Date.parse(query.to) }),
    ...(query.by !== undefined && { by: query.by }),
  })
  return answer(200, {
    instance: instance.id,
    crn: instance.crn,
    plan: instance.plan,
    region: instance.region,
    capacity_units: instance.capacityUnits,
    usage: rows.map(row => ({
      start: timestamp(row.fromMs),
      end: timestamp(row.toMs),
      capacity_unit_hours: row.unitHours,
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
