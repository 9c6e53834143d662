/** What a state looks like from outside, at a moment. Reads only. */

import { delayEndMs, freezeOf } from './grants.ts'
import type { Lock } from './lock.ts'
import type { Grant, GrantView, Held, LockView, Waiter, WaiterView } from './model.ts'
import { endOfHold } from './preemption.ts'

import type { State } from './state.ts'

export function grantView(state: State, grant: Grant, now: number): GrantView {
  const endMs = endOfHold(grant)
  return {
    lock: grant.lock,
    token: grant.token,
    mode: grant.mode,
    permits: grant.permits,
    slots: grant.slots,
    session: grant.session,
    holder: grant.holder,
    at: grant.at,
    labels: grant.labels,
    metadata: grant.metadata,
    priority: grant.priority,
    count: grant.count,
    request: grant.request,
    endsInMs: endMs === null ? null : Math.max(0, Math.floor(endMs - now)),
    expiresInMs: Math.max(0, Math.floor((state.sessions.get(grant.session)?.deadlineMs ?? now) - now)),
    notice: grant.notice && { by: grant.notice.by, reason: grant.notice.reason },
  }
}

export function waiterView(waiter: Waiter, place: { lock: string; position: number }, now: number): WaiterView {
  const claim = waiter.claims.find(other => other.lock === place.lock) ?? waiter.claims[0]!
  return {
    ticket: waiter.ticket,
    session: waiter.session,
    holder: waiter.holder,
    mode: claim.mode,
    permits: claim.permits,
    priority: waiter.priority,
    at: waiter.at,
    waitedMs: Math.max(0, Math.floor(now - waiter.sinceMs)),
    position: place.position,
    labels: waiter.labels,
    locks: waiter.claims.map(other => other.lock),
  }
}

/** Position of the waiter in the queue that is worst for it, from 1. */
export function positionOf(state: State, waiter: Waiter): number {
  return Math.max(...waiter.claims.map(claim => (state.locks.get(claim.lock)?.queue.indexOf(waiter) ?? 0) + 1))
}

export function lockView(state: State, name: string, now: number): LockView | null {
  const lock = state.locks.get(name)
  if (!lock) return null
  const freeze = freezeOf(state, name)
  const isHeld = lock.grants.length > 0
  const grants = firstOf(lock.grants, grant => grantView(state, grant, now))
  return {
    lock: name,
    state: isHeld ? 'held' : freeze ? 'frozen' : lock.delays.length > 0 ? 'delayed' : 'free',
    grants,
    moreGrants: lock.grants.length - grants.length,
    waiters: lock.queue.length,
    limit: lock.config?.limit ?? (lock.grants[0]?.limit || null),
    config: lock.config,
    value: lock.value,
    freeze,
    delayedMs: delayedMsOf(state, lock, now),
    typicalHoldMs: lock.typicalHoldMs === null ? null : Math.round(lock.typicalHoldMs),
  }
}

/** Of a longer list only the front is shown: one reply, one page. */
export const ROWS_SHOWN_MAX = 1_000
/** Of what is long itself still fewer, but one: what they take as JSON, in UTF-16 units. Whoever passes replies on passes several at once. */
export const PAGE_UNITS_MAX = 512 * 1024

/** What the first of the items look like, as many as one reply holds; null: nothing of it can be seen. */
export function firstOf<Item, View>(items: Iterable<Item>, viewOf: (item: Item, index: number) => View | null): View[] {
  const views: View[] = []
  let units = 0
  let index = 0
  for (const item of items) {
    if (views.length === ROWS_SHOWN_MAX) break
    const view = viewOf(item, index++)
    if (view === null) continue
    units += JSON.stringify(view).length
    if (units > PAGE_UNITS_MAX && views.length > 0) break
    views.push(view)
  }
  return views
}

/** Until the last of what ended grants still occupy is free; null: there is nothing. */
function delayedMsOf(state: State, lock: Lock, now: number): number | null {
  if (lock.delays.length === 0) return null
  return Math.ceil(lock.delays.reduce((most, delay) => Math.max(most, delayEndMs(state, delay) - now), 0))
}

type Viewer = { now: number; session: string | null }

/** What is in the way, for the refusal: the error that people see most. `session`: who asks. */
export function heldView(state: State, claims: readonly { lock: string }[], { now, session }: Viewer): Held {
  const lock = inTheWay(state, claims)
  const grant = lock?.grants[0]
  const delayedMs = lock ? delayedMsOf(state, lock, now) : null
  return {
    lock: lock?.name ?? claims[0]?.lock ?? '',
    holder: grant?.holder ?? null,
    at: grant?.at ?? null,
    labels: grant?.labels ?? null,
    queueLength: lock?.queue.length ?? 0,
    estimateMs: lock ? estimate(lock, { now, delayedMs }) : null,
    delayedMs,
    isOwn: lock !== null && lock.grants.length > 0 && lock.grants.every(held => held.session === session),
  }
}

/** Of several the first that is held, else that is kept free, else that somebody waits for. */
function inTheWay(state: State, claims: readonly { lock: string }[]): Lock | null {
  let found: Lock | null = null
  for (const { lock: name } of claims) {
    const lock = state.locks.get(name)
    if (!lock) continue
    if (lock.grants.length > 0) return lock
    if (!found || (found.delays.length === 0 && lock.delays.length > 0)) found = lock
  }
  return found
}

/** How long a newcomer would wait, judged by how long others held; null: nothing is known. */
function estimate(lock: Lock, { now, delayedMs }: { now: number; delayedMs: number | null }): number | null {
  const [grant] = lock.grants
  const { typicalHoldMs } = lock
  if (!grant && lock.queue.length === 0) return delayedMs
  if (typicalHoldMs === null) return null
  const leftMs = grant ? Math.max(0, typicalHoldMs - (now - grant.sinceMs)) : (delayedMs ?? 0)
  return Math.round(leftMs + lock.queue.length * typicalHoldMs)
}

/** Why the claims cannot be granted at once, when nobody holds them. */
export function reasonNotFree(state: State, claims: readonly { lock: string }[]): 'held' | 'delayed' | 'queued' {
  const locks = claims.map(claim => state.locks.get(claim.lock))
  if (locks.some(lock => lock && lock.grants.length > 0)) return 'held'
  return locks.some(lock => lock && lock.delays.length > 0) ? 'delayed' : 'queued'
}
