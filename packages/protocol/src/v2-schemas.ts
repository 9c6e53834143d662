/** What several operations of `/v2` share. */
import { type Static, Type } from 'typebox'
import * as limits from './limits.ts'
import * as s from './schemas.ts'

const configuration = {
  description: s.description,
  default_ttl_ms: s.ttlMs,
  max_hold_ms: s.maxHoldMs,
  lock_delay_ms: s.lockDelayMs,
  preemption: s.preemption,
  grace_ms: s.graceMs,
  min_hold_ms: s.minHoldMs,
  limit: s.permitLimit,
  queue_max: s.queueMax,
  labels: s.labels,
}
export const configurationFields = Object.keys(configuration) as (keyof typeof configuration)[] // `keys` forgets the keys' type

export const lockConfiguration = s.closed({
  description: s.optional(configuration.description),
  default_ttl_ms: s.optional(configuration.default_ttl_ms),
  max_hold_ms: s.optional(configuration.max_hold_ms),
  lock_delay_ms: s.optional(configuration.lock_delay_ms),
  preemption: s.optional(configuration.preemption),
  grace_ms: s.optional(configuration.grace_ms),
  min_hold_ms: s.optional(configuration.min_hold_ms),
  limit: s.optional(configuration.limit),
  queue_max: s.optional(configuration.queue_max),
  labels: s.optional(configuration.labels),
})

const orNull = <Schema extends (typeof configuration)[keyof typeof configuration] | typeof s.labelsPatch>(
  schema: Schema,
) => s.optional(Type.Union([schema, Type.Null()]))

/** A merge patch: null takes a setting or a label away. */
export const lockPatch = s.closed({
  description: orNull(configuration.description),
  default_ttl_ms: orNull(configuration.default_ttl_ms),
  max_hold_ms: orNull(configuration.max_hold_ms),
  lock_delay_ms: orNull(configuration.lock_delay_ms),
  preemption: orNull(configuration.preemption),
  grace_ms: orNull(configuration.grace_ms),
  min_hold_ms: orNull(configuration.min_hold_ms),
  limit: orNull(configuration.limit),
  queue_max: orNull(configuration.queue_max),
  labels: orNull(s.labelsPatch),
})

/** A grant as everybody may see it. */
export const holderView = s.closed({
  holder: Type.String(),
  session_id: s.sessionId,
  token: s.token,
  mode: s.mode,
  permits: s.optional(s.permits),
  slots: s.optional(Type.Array(s.count)),
  acquired_at: s.timestamp,
  expires_at: s.timestamp,
  priority: s.priority,
  count: s.optional(s.count),
  labels: s.optional(s.labels),
  metadata: s.optional(s.metadata),
  ends_in_ms: s.optional(s.durationMs),
  notice: s.optional(s.notice),
})
export type HolderView = Static<typeof holderView>

export const v2Value = s.closed({ value: s.lockValue, token: s.token, written_at: s.timestamp })

export const v2Freeze = s.closed({
  prefix: s.lockPrefix,
  until: s.timestamp,
  reason: Type.String(),
  by: Type.String(),
  frozen_at: s.timestamp,
})

export const v2Lock = s.closed({
  name: s.lockName,
  state: s.lockState,
  mode: s.optional(s.mode),
  holder: s.optional(Type.String()),
  session_id: s.optional(s.sessionId),
  token: s.optional(s.token),
  acquired_at: s.optional(s.timestamp),
  expires_at: s.optional(s.timestamp),
  holders: Type.Array(holderView),
  more_holders: s.optional(s.count),
  waiters: s.count,
  description: s.optional(configuration.description),
  default_ttl_ms: s.optional(configuration.default_ttl_ms),
  max_hold_ms: s.optional(configuration.max_hold_ms),
  lock_delay_ms: s.optional(configuration.lock_delay_ms),
  preemption: s.optional(configuration.preemption),
  grace_ms: s.optional(configuration.grace_ms),
  min_hold_ms: s.optional(configuration.min_hold_ms),
  limit: s.optional(configuration.limit),
  queue_max: s.optional(configuration.queue_max),
  labels: s.optional(configuration.labels),
  value: s.optional(v2Value),
  frozen: s.optional(s.closed({ prefix: s.lockPrefix, until: s.timestamp, by: Type.String(), reason: Type.String() })),
  delayed_ms: s.optional(s.durationMs),
  typical_hold_ms: s.optional(s.durationMs),
})
export type V2Lock = Static<typeof v2Lock>

export const waiterView = s.closed({
  position: s.count,
  holder: Type.String(),
  session_id: s.sessionId,
  mode: s.mode,
  permits: s.optional(s.permits),
  priority: s.priority,
  queued_at: s.timestamp,
  waited_ms: s.durationMs,
  labels: s.optional(s.labels),
  locks: Type.Array(s.lockName),
})

/** What one lock is asked for. */
export const claimFields = {
  mode: s.optional(s.mode),
  permits: s.optional(s.permits),
  limit: s.optional(s.permitLimit),
  max_hold_ms: s.optional(s.maxHoldMs),
  lock_delay_ms: s.optional(s.lockDelayMs),
}

export const claim = s.closed({ name: s.lockName, ...claimFields })
export const claims = Type.Array(claim, { minItems: 1, maxItems: limits.SET_LOCKS_MAX })

/** How it is asked for. */
export const askFields = {
  priority: s.optional(s.priority),
  preempt: s.optional(
    Type.Enum(['never', 'graceful', 'immediate'], {
      description:
        'Whether holders of lower priority are asked to go, with notice, or lose the lock at once; `never` if left out. It takes a wait.',
    }),
  ),
  reentrant: s.optional(
    Type.Boolean({
      description: 'A lock that the session holds already is entered once more. For one lock, not for a set.',
    }),
  ),
  task: s.optional(s.task),
  metadata: s.optional(s.metadata),
  labels: s.optional(s.labels),
}

/** Beside every reply that lets a holder go on believing. */
export const confersFields = { ttl_ms: s.ttlMs, changes: s.changes }

export const acquired = s.closed({
  name: s.lockName,
  token: s.token,
  mode: s.mode,
  permits: s.optional(s.permits),
  slots: s.optional(Type.Array(s.count)),
  session_id: s.sessionId,
  holder: Type.String(),
  acquired_at: s.timestamp,
  ...confersFields,
  waited_ms: s.durationMs,
  count: s.optional(s.count),
  labels: s.optional(s.labels),
  metadata: s.optional(s.metadata),
  ends_in_ms: s.optional(s.durationMs),
  notice: s.optional(s.notice),
  request_id: s.optional(Type.Union([Type.String(), Type.Integer()])),
})

export const released = s.closed({
  released: Type.Boolean({ description: 'False while it is still entered otherwise.' }),
  count: s.count,
  ttl_ms: s.optional(s.ttlMs),
  changes: s.optional(s.changes),
})

export const grantName = s.closed({ name: s.lockName, token: s.token })
export const grantNames = Type.Array(grantName, { minItems: 1, maxItems: limits.SESSION_LOCKS_MAX })
/** As an acquire of several answers them: beside name and token they say nothing that counts. */
export const shownGrants = Type.Array(
  s.closed({
    ...s.grant.properties,
    mode: s.optional(s.mode),
    slots: s.optional(Type.Array(s.count, { maxItems: limits.PERMITS_MAX })),
    holder: s.optional(s.description),
    acquired_at: s.optional(s.timestamp),
    notice: s.optional(s.closed({ by: s.description, reason: s.description })),
    request_id: s.optional(Type.Union([s.requestId, Type.Integer({ minimum: 1, maximum: Number.MAX_SAFE_INTEGER })])),
  }),
  { minItems: 1, maxItems: limits.SESSION_LOCKS_MAX },
)
export const endedGrants = s.closed({
  ended: Type.Array(s.closed({ name: s.lockName, token: s.token, holder: Type.String() })),
  left: s.optional(
    Type.Integer({
      minimum: 1,
      description: 'How many more there were: they follow at once, but are not yet done. Ask again to be sure.',
    }),
  ),
})

export const leader = s.closed({
  holder: Type.String(),
  session_id: s.sessionId,
  token: s.token,
  value: s.optional(s.lockValue),
  since: s.timestamp,
})
export const election = s.closed({ name: s.lockName, leader: Type.Union([leader, Type.Null()]), candidates: s.count })
export type Election = Static<typeof election>
