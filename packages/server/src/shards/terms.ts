/** On what terms an instance is served: for the owner of its shard to enforce, and for others to say. */
import type { Refusal } from '../locks/model.ts'
import { instanceDisabled, type Quota } from '../locks/quota.ts'

/** null: no limit. */
export type Rate = { operationsPerSecond: number | null; burstOperations: number | null }

export type Terms = Quota & Rate & { watches: number | null }

/**
 * Called for each command, so it answers from memory. null: without any limit. `unknown`: this server has not heard of the instance, which may have
 * been made a moment ago on another: its commands are not taken, and come again.
 */
export type TermsOf = (instance: string) => Terms | 'unknown' | null

export const withoutTerms: TermsOf = () => null

/** Why the instance cannot open a watch beside `open` others; null: it can. */
export function watchRefusal(termsOf: TermsOf, instance: string, open: number): Refusal | null {
  const terms = termsOf(instance)
  if (terms === null || terms === 'unknown') return null
  if (!terms.isEnabled) return instanceDisabled
  const { watches } = terms
  return watches !== null && open >= watches
    ? { ok: false, code: 'quota_exceeded', limit: 'watches', max: watches }
    : null
}
