/** Usage as IBM's metering service takes it: what a server would submit, for who submits it otherwise. */

type PlanHours = { planId: string; capacityUnitHours: number }
type Row = {
  start: string
  end: string
  capacityUnitHours: number
  /** An older service does not say it. */
  byPlan?: PlanHours[]
  costUsd: number
  operations: Record<string, number>
}
export type Usage = {
  instance: string
  crn: string
  plan: string
  /** An older service does not say it. */
  planId?: string
  region: string
  usage: Row[]
  month: { start: string; capacityUnitHours: number; costUsd: number; forecastUsd: number }
}

/** As IBM's metering service calls it. */
const MEASURE = 'CAPACITY_UNIT_HOURS'
const HOUR_MS = 3_600_000

/** One for each hour that is over and each plan that it was provided on, as IBM's `usage` endpoint takes them. */
export function recordsOf({ crn, plan, planId = plan, region, usage }: Usage): object[] {
  return usage
    .map(row => ({ ...row, startMs: Date.parse(row.start), endMs: Date.parse(row.end) }))
    .filter(({ startMs, endMs }) => endMs - startMs === HOUR_MS)
    .flatMap(({ startMs, endMs, capacityUnitHours, byPlan = [{ planId, capacityUnitHours }] }) =>
      byPlan
        .filter(part => part.capacityUnitHours > 0)
        .map(part => ({
          resource_instance_id: crn,
          plan_id: part.planId,
          region,
          start: startMs,
          end: endMs,
          measured_usage: [{ measure: MEASURE, quantity: part.capacityUnitHours }],
        })),
    )
}
