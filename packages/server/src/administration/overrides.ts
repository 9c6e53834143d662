/**
 * Limits of an instance's own, as they are said and as they are kept. A record keeps null for "no limit"; what is said is merged, and in a merge
 * patch null takes away (decision 0124), so there it has a word.
 */
import { type MergePatch, mergePatch } from '@holdfast/protocol/merge-patch'
import type { Limits, PlanRecord } from '../registry/records.ts'
import { misfit } from './administration.ts'

export type Said = { [Name in keyof Limits]?: number | 'unlimited' }

export function said(limits: Partial<Limits>): Said {
  return Object.fromEntries(Object.entries(limits).map(([name, limit]) => [name, limit ?? 'unlimited']))
}

/** Of a new instance: there is nothing to merge into, so null is no limit, too. @throws {HoldfastError} when the plan has none */
export function givenOverrides(plan: PlanRecord, given: { [Name in keyof Said]: Said[Name] | null }): Partial<Limits> {
  refuseOverrides(plan, given)
  return kept(given)
}

/** null takes all of them away. @throws {HoldfastError} when the plan has none and the patch has some */
export function patchedOverrides(
  plan: PlanRecord,
  { before, patch }: { before: Partial<Limits>; patch: MergePatch<Said> | null },
): Partial<Limits> {
  if (patch === null) return {}
  // Those that rest while the plan has none may be taken away.
  refuseOverrides(plan, mergePatch<Said>({}, patch))
  return kept(mergePatch(said(before), patch))
}

function kept(limits: { [Name in keyof Said]: Said[Name] | null }): Partial<Limits> {
  return Object.fromEntries(Object.entries(limits).map(([name, limit]) => [name, limit === 'unlimited' ? null : limit]))
}

function refuseOverrides(plan: PlanRecord, overrides: object): void {
  if (plan.allowsOverrides || Object.keys(overrides).length === 0) return
  throw misfit(
    'overrides',
    `The plan \`${plan.id}\` has no limits of an instance’s own: change the number of capacity units instead.`,
  )
}
