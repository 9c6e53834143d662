/** `/v1` speaks in seconds, and of one holder. */
import type { V1Lock } from '@holdfast/protocol/v1'
import type { GrantView, LockView } from '../../locks/model.ts'
import { timestamp } from '../views.ts'

export const seconds = (ms: number): number => ms / 1_000
/** Rounded up: what ends something is never said to be shorter than it is. */
export const secondsUp = (ms: number): number => Math.ceil(ms / 1_000)

type Ends = Pick<GrantView, 'endsInMs'>

/** In `/v1` there is one deadline to look at: that of the TTL, or the end of a longest hold or a notice, if that comes first. */
function remainingMs({ endsInMs }: Ends, ttlMs: number): number {
  return endsInMs === null ? ttlMs : Math.min(ttlMs, endsInMs)
}

/** What a holder may count on from now on. `ttlMs` is what this very reply confers. */
export function v1Promise(grant: Ends, { ttlMs, nowAt }: { ttlMs: number; nowAt: number }) {
  const ms = remainingMs(grant, ttlMs)
  return { ttl_seconds: seconds(ms), expires_at: timestamp(nowAt + ms) }
}

export function v1LockOf(lock: LockView, nowAt: number): V1Lock {
  const wire: V1Lock = { name: lock.lock, state: lock.state, waiters: lock.waiters }
  const grant = lock.grants[0]
  if (grant) {
    wire.holder = grant.holder
    wire.token = grant.token
    wire.acquired_at = timestamp(grant.at)
    wire.expires_at = timestamp(nowAt + remainingMs(grant, grant.expiresInMs))
  }
  const { config, freeze } = lock
  if (config) {
    if (config.description !== null) wire.description = config.description
    if (config.defaultTtlMs !== null) wire.default_ttl_seconds = secondsUp(config.defaultTtlMs)
    if (config.maxHoldMs !== null) wire.max_hold_seconds = secondsUp(config.maxHoldMs)
    if (config.lockDelayMs !== null) wire.lock_delay_seconds = secondsUp(config.lockDelayMs)
    if (config.preemption !== null) wire.preemption = config.preemption
    if (config.labels !== null) wire.labels = config.labels
  }
  if (lock.delayedMs !== null) wire.delayed_seconds = secondsUp(lock.delayedMs)
  if (freeze) wire.frozen = { until: timestamp(freeze.untilAt), by: freeze.by, reason: freeze.reason }
  return wire
}
