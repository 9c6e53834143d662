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
  const delayedMs = lock.delays.reduce((most, delay) => Math.max(most, delayEndMs(state, delay) - now), 0)
  const isHeld = lock.grants.length > 0
  return {
    lock: name,
    state: isHeld ? 'held' : freeze ? 'frozen' : lock.delays.length > 0 ? 'delayed' : 'free',
    grants: lock.grants.map(grant => grantView(state, grant, now)),
    waiters: lock.queue.length,
    limit: lock.config?.limit ?? (lock.grants[0]?.limit || null),
    config: lock.config,
    value: lock.value,
    freeze,
    delayedMs: lock.delays.length > 0 ? Math.ceil(delayedMs) : null,
    typicalHoldMs: lock.typicalHoldMs === null ? null : Math.round(lock.typicalHoldMs),
  }
}

/** Who is in the way, for the refusal: the error that people see most. */
export function heldView(state: State, claims: readonly { lock: string }[], now: number): Held | null {
  for (const { lock: name } of claims) {
    const lock = state.locks.get(name)
    const grant = lock?.grants[0]
    if (!lock || !grant) continue
    return {
      lock: name,
      holder: grant.holder,
      at: grant.at,
      labels: grant.labels,
      queueLength: lock.queue.length,
      estimateMs: estimate(lock, now),
    }
  }
  return null
}

/** How long a newcomer would wait, judged by how long others held; null: nothing is known. */
function estimate(lock: Lock, now: number): number | null {
  const grant = lock.grants[0]
  if (lock.typicalHoldMs === null || !grant) return null
  const left = Math.max(0, lock.typicalHoldMs - (now - grant.sinceMs))
  return Math.round(left + lock.queue.length * lock.typicalHoldMs)
}

/** Why the claims cannot be granted at once, when nobody holds them. */
export function reasonNotFree(state: State, claims: readonly { lock: string }[]): 'held' | 'delayed' | 'queued' {
  const locks = claims.map(claim => state.locks.get(claim.lock))
  if (locks.some(lock => lock && lock.grants.length > 0)) return 'held'
  return locks.some(lock => lock && lock.delays.length > 0) ? 'delayed' : 'queued'
}
