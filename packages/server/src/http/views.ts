/** What the core answers → the wire. Written by hand, field by field: this is the hot path, and nothing leaves that is not named here. */

import type { WireGrant } from '@holdfast/protocol/frame'
import type { Election, HolderView, V2Lock, v2Freeze, v2Value, waiterView } from '@holdfast/protocol/v2-schemas'
import type { Static } from 'typebox'
import { saidRequest } from '../locks/idempotency.ts'
import type { Freeze, GrantView, LockView, Value, WaiterView } from '../locks/model.ts'

/** The last moment that RFC 3339 can write with four digits for the year. */
const WALL_MS_MAX = Date.UTC(9999, 11, 31, 23, 59, 59, 999)

/** Mutable and of the module, against the rule: the grants of one batch all have the same time, and writing it out is a tenth of a reply. */
let latest = { wallMs: 0, text: new Date(0).toISOString() }

export function timestamp(wallMs: number): string {
  if (wallMs !== latest.wallMs) {
    latest = { wallMs, text: new Date(Math.min(Math.max(0, Math.trunc(wallMs)), WALL_MS_MAX)).toISOString() }
  }
  return latest.text
}

export function wireGrant(grant: GrantView): WireGrant {
  const wire: WireGrant = {
    name: grant.lock,
    token: grant.token,
    mode: grant.mode,
    holder: grant.holder,
    acquired_at: timestamp(grant.at),
  }
  addShape(wire, grant)
  if (grant.request !== null) wire.request_id = saidRequest(grant.request)
  return wire
}

type Shape = Pick<WireGrant, 'permits' | 'slots' | 'count' | 'labels' | 'metadata' | 'ends_in_ms' | 'notice'>

/** What only some grants have. */
export function addShape(wire: Shape, grant: GrantView): void {
  if (grant.mode === 'permits') wire.permits = grant.permits
  if (grant.slots !== null) wire.slots = grant.slots
  if (grant.count > 1) wire.count = grant.count
  if (grant.labels !== null) wire.labels = grant.labels
  if (grant.metadata !== null) wire.metadata = grant.metadata
  if (grant.endsInMs !== null) wire.ends_in_ms = grant.endsInMs
  if (grant.notice !== null) wire.notice = { by: grant.notice.by, reason: grant.notice.reason }
}

export function wireHolder(grant: GrantView, nowAt: number): HolderView {
  const wire: HolderView = {
    holder: grant.holder,
    session_id: grant.session,
    token: grant.token,
    mode: grant.mode,
    acquired_at: timestamp(grant.at),
    expires_at: timestamp(nowAt + grant.expiresInMs),
    priority: grant.priority,
  }
  addShape(wire, grant)
  return wire
}

export function wireLock(lock: LockView, nowAt: number): V2Lock {
  const wire: V2Lock = {
    name: lock.lock,
    state: lock.state,
    holders: lock.grants.map(grant => wireHolder(grant, nowAt)),
    waiters: lock.waiters,
  }
  if (lock.moreGrants > 0) wire.more_holders = lock.moreGrants
  const first = wire.holders[0]
  if (first) {
    wire.mode = first.mode
    wire.holder = first.holder
    wire.session_id = first.session_id
    wire.token = first.token
    wire.acquired_at = first.acquired_at
    wire.expires_at = first.expires_at
  }
  addConfiguration(wire, lock)
  if (lock.value) wire.value = wireValue(lock.value)
  if (lock.freeze) {
    const { prefix, untilAt, by, reason } = lock.freeze
    wire.frozen = { prefix, until: timestamp(untilAt), by, reason }
  }
  if (lock.delayedMs !== null) wire.delayed_ms = lock.delayedMs
  if (lock.typicalHoldMs !== null) wire.typical_hold_ms = Math.round(lock.typicalHoldMs)
  return wire
}

function addConfiguration(wire: V2Lock, { config, limit }: LockView): void {
  if (limit !== null && limit > 0) wire.limit = limit
  if (!config) return
  if (config.description !== null) wire.description = config.description
  if (config.defaultTtlMs !== null) wire.default_ttl_ms = config.defaultTtlMs
  if (config.maxHoldMs !== null) wire.max_hold_ms = config.maxHoldMs
  if (config.lockDelayMs !== null) wire.lock_delay_ms = config.lockDelayMs
  if (config.preemption !== null) wire.preemption = config.preemption
  if (config.graceMs !== null) wire.grace_ms = config.graceMs
  if (config.minHoldMs !== null) wire.min_hold_ms = config.minHoldMs
  if (config.queueMax !== null) wire.queue_max = config.queueMax
  if (config.labels !== null) wire.labels = config.labels
}

export function wireValue(value: Value): Static<typeof v2Value> {
  return { value: value.value, token: value.token, written_at: timestamp(value.at) }
}

export function wireFreeze(freeze: Freeze): Static<typeof v2Freeze> {
  return {
    prefix: freeze.prefix,
    until: timestamp(freeze.untilAt),
    reason: freeze.reason,
    by: freeze.by,
    frozen_at: timestamp(freeze.at),
  }
}

export function wireWaiter(waiter: WaiterView): Static<typeof waiterView> {
  const wire: Static<typeof waiterView> = {
    position: waiter.position,
    holder: waiter.holder,
    session_id: waiter.session,
    mode: waiter.mode,
    priority: waiter.priority,
    queued_at: timestamp(waiter.at),
    waited_ms: waiter.waitedMs,
    locks: waiter.locks,
  }
  if (waiter.mode === 'permits') wire.permits = waiter.permits
  if (waiter.labels !== null) wire.labels = waiter.labels
  return wire
}

/** An election is a lock with a value: the leader holds it, the candidates wait for it. */
export function wireElection(name: string, lock: LockView | null): Election {
  const grant = lock?.grants[0]
  if (!lock || !grant) return { name, leader: null, candidates: lock?.waiters ?? 0 }
  const leader: NonNullable<Election['leader']> = {
    holder: grant.holder,
    session_id: grant.session,
    token: grant.token,
    since: timestamp(grant.at),
  }
  // A value of an earlier leader is not this one's word.
  if (lock.value && lock.value.token === grant.token) leader.value = lock.value.value
  return { name, leader, candidates: lock.waiters }
}
