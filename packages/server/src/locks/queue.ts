/**
 * Order of waiting. A waiter's rank is its arrival on the shard's clock, less ten seconds for each point of priority. So
 * higher priorities go first, equal ones in order of arrival, and nobody starves: whoever has waited ten seconds longer is worth
 * a point more. Since all age alike, the order of two waiters never changes, and the queue is a sorted list that time does not touch.
 *
 * The order is strict: nobody is granted a lock past a waiter before it in line, whatever the modes. A waiter for a set of locks
 * stands in all their queues and is granted when it is first in each and each is compatible; since all queues order alike,
 * two sets never wait for each other.
 */
import { AGEING_MS_PER_PRIORITY } from '@holdfast/protocol/limits'
import type { Lock } from './lock.ts'
import type { Claim, Delay, Grant, Refusal, Waiter } from './model.ts'
import type { State } from './state.ts'

export function rankOf(now: number, priority: number): number {
  return now - priority * AGEING_MS_PER_PRIORITY
}

type Place = { rank: number; ticket: number }

export function beforeInQueue(one: Place, other: Place): boolean {
  return one.rank < other.rank || (one.rank === other.rank && one.ticket < other.ticket)
}

/** Whether the claim could be granted beside what is held and delayed, the queue apart; `held`: or beside this, if it were all there is. */
export function isCompatible(lock: Lock | undefined, claim: Claim, held: Held | undefined = lock): boolean {
  if (!lock || !held) return claim.mode !== 'permits' || claim.permits <= claim.limit
  switch (claim.mode) {
    case 'exclusive':
      return held.grants.length === 0 && held.delays.length === 0
    case 'shared':
      return held.grants.every(other => other.mode === 'shared') && held.delays.every(other => other.mode === 'shared')
    case 'permits':
      return usedPermits(held) + claim.permits <= limitOf(lock, claim)
  }
}

type Held = { grants: readonly Grant[]; delays: readonly Delay[] }

/** Whether who holds this holds what is claimed, and perhaps more. */
export function covers(held: Grant, claim: Claim): boolean {
  const isMode = held.mode === claim.mode || (held.mode === 'exclusive' && claim.mode === 'shared')
  return isMode && held.permits >= claim.permits
}

export function usedPermits({ grants, delays }: Held): number {
  let used = 0
  for (const grant of grants) used += grant.permits
  for (const delay of delays) used += delay.permits
  return used
}

/** A semaphore's limit: what is configured, else what its present users named, else what this claim names. */
export function limitOf(lock: Lock | undefined, claim: { limit: number; lock: string }): number {
  if (!lock) return claim.limit
  const waiting = lock.queue[0]?.claims.find(other => other.lock === lock.name)
  return lock.config?.limit ?? lock.grants[0]?.limit ?? lock.delays[0]?.limit ?? (waiting?.limit || claim.limit)
}

/** The lowest slots that neither a grant nor a delay occupies. */
export function freeSlots(lock: Lock | undefined, count: number): number[] {
  const taken = new Set<number>()
  for (const grant of lock?.grants ?? []) for (const slot of grant.slots ?? []) taken.add(slot)
  for (const delay of lock?.delays ?? []) for (const slot of delay.slots ?? []) taken.add(slot)
  const slots: number[] = []
  for (let slot = 0; slots.length < count; slot++) if (!taken.has(slot)) slots.push(slot)
  return slots
}

/** Whether a request of this rank would be first in line for every claim and find every one compatible. */
export function canGrantAtOnce(state: State, claims: readonly Claim[], rank: number): boolean {
  return claims.every(claim => {
    const lock = state.locks.get(claim.lock)
    const head = lock?.queue[0]
    // An equal rank has come later.
    return (!head || head.rank > rank) && isCompatible(lock, claim)
  })
}

/** Whether the waiter is first in all its queues and all its locks are compatible. */
export function canGrantWaiter(state: State, waiter: Waiter): boolean {
  return waiter.claims.every(claim => {
    const lock = state.locks.get(claim.lock)
    return lock?.queue[0] === waiter && isCompatible(lock, claim)
  })
}

/** How many wait for each of the waiter's locks, once it has come (1) or gone (-1). */
export function queuesWith(state: State, waiter: Waiter, change: 1 | -1): number[] {
  return waiter.claims.map(({ lock }) => (state.locks.get(lock)?.queue.length ?? 0) + change)
}

/** A semaphore is not a read-write lock: what a name is, its configuration and its present users say. */
export function misfitOf(lock: Lock | undefined, claim: Claim): Refusal | null {
  const invalid = (field: string, message: string): Refusal => ({ ok: false, code: 'invalid_request', field, message })
  const present =
    lock?.grants[0]?.mode ??
    lock?.delays[0]?.mode ??
    lock?.queue[0]?.claims.find(other => other.lock === claim.lock)?.mode
  if (claim.mode !== 'permits') {
    if (present === 'permits' || lock?.config?.limit) {
      return invalid('mode', `\`${claim.lock}\` is a semaphore: acquire it with \`mode: "permits"\`.`)
    }
    if (claim.permits === 1 && claim.limit === 0) return null
    return invalid(claim.limit === 0 ? 'permits' : 'limit', 'Permits and their limit are for `mode: "permits"` only.')
  }
  if (present && present !== 'permits')
    return invalid('mode', `\`${claim.lock}\` is in use as an ordinary lock, not as a semaphore.`)
  const limit = limitOf(lock, claim)
  if (limit < 1)
    return invalid('limit', `\`${claim.lock}\` has no limit yet: name one with \`limit\`, or configure the lock.`)
  if (claim.limit > 0 && claim.limit !== limit)
    return invalid('limit', `The limit of \`${claim.lock}\` is ${limit}, not ${claim.limit}.`)
  if (claim.permits > limit) return invalid('permits', `\`${claim.lock}\` has only ${limit} permits in all.`)
  return null
}

/** What to tell who waits for more permits than a lock has, since its limit was lowered: it would wait for ever, and all behind it. */
export function beyondLimit(state: State, { claims }: Pick<Waiter, 'claims'>): Refusal | null {
  for (const claim of claims) {
    const lock = state.locks.get(claim.lock)
    const limit = lock?.config?.limit
    // It named the limit that there was, or had it named for it.
    if (limit && claim.permits > limit) return misfitOf(lock, { ...claim, limit: 0 })
  }
  return null
}
