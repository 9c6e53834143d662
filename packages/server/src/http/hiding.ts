/** Names that come up in an answer about something else are shown to those who may read them. */
import type { GrantView, Refusal, WaiterView } from '../locks/model.ts'

type Sees = (lock: string) => boolean

/** A circle of waits may go through locks of others: that there is one is said all the same. */
export function withoutHidden(refusal: Refusal, sees: Sees): Refusal {
  if (refusal.code !== 'deadlock') return refusal
  return { ...refusal, cycle: refusal.cycle.filter(({ lock }) => sees(lock)) }
}

/** Who waits for several locks waits for all of them: the others are nobody else's business. */
export function visibleWaiter<Waiter extends Pick<WaiterView, 'locks'>>(waiter: Waiter, sees: Sees): Waiter {
  return waiter.locks.every(sees) ? waiter : { ...waiter, locks: waiter.locks.filter(sees) }
}

export function visibleGrants(grants: readonly GrantView[], sees: Sees): GrantView[] {
  return grants.filter(({ lock }) => sees(lock))
}
