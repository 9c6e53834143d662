/**
 * What an instance is metered by: capacity units over time. A pure function of its record and its plans, so it comes out the same whoever
 * computes it, however often, and nothing of it can be lost or counted twice. Counted in units × ms, whole numbers, and divided once.
 *
 * Metered is what was provided, whether it was used or not (ECOSYSTEM 1.9): at least the plan's minimum, in whole steps, from the making of the
 * instance until its deletion; a disabled instance too. A deleted one has 0 units in its history until it is restored. Nothing is metered on the plan
 * `unmetered`.
 */
import { type InstanceRecord, type PlanRecord, UNMETERED_PLAN } from '../registry/records.ts'

export const HOUR_MS = 60 * 60 * 1000

export type Plans = (id: string) => PlanRecord | null

/** One plan's part of a span. */
export type Metered = { plan: string; unitMs: number }

export function meteredUnits(plan: PlanRecord | null, units: number): number {
  if (!plan || units <= 0) return Math.max(0, units)
  return Math.max(plan.minUnits, Math.ceil(units / plan.stepUnits) * plan.stepUnits)
}

/** What was provided in `fromMs ≤ t < toMs`, by plan, in the order in which the plans came. */
export function metered(
  { history }: Pick<InstanceRecord, 'history'>,
  plans: Plans,
  span: { fromMs: number; toMs: number },
): Metered[] {
  const found = new Map<string, number>()
  history.forEach(({ plan, capacityUnits, fromMs }, index) => {
    const untilMs = Math.min(span.toMs, history[index + 1]?.fromMs ?? span.toMs)
    const ms = untilMs - Math.max(fromMs, span.fromMs)
    const units = meteredUnits(plans(plan), capacityUnits)
    if (ms > 0 && units > 0 && plan !== UNMETERED_PLAN) found.set(plan, (found.get(plan) ?? 0) + ms * units)
  })
  return [...found].map(([plan, unitMs]) => ({ plan, unitMs }))
}

export function unitHours(parts: readonly Metered[]): number {
  return parts.reduce((sum, { unitMs }) => sum + unitMs, 0) / HOUR_MS
}

/** In USD, by the price that the plans have now. What has no plan any more has no price. */
export function costUsd(parts: readonly Metered[], plans: Plans): number {
  let usd = 0
  for (const { plan, unitMs } of parts) {
    const price = plans(plan)
    if (price) usd += (unitMs / HOUR_MS / price.perUnits) * price.priceUsd
  }
  return usd
}
