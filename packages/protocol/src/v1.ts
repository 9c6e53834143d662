/**
 * `/v1`, the simple API: every grant stands alone with its own TTL in seconds. `curl` and a cron job need no more.
 * Frozen at the first release: fields may be added, none may change or go.
 */
import { type Static, Type } from 'typebox'
import * as limits from './limits.ts'
import { operation } from './operation.ts'
import * as s from './schemas.ts'

const ttlSeconds = s.integer(
  1,
  limits.TTL_MS_MAX / 1000,
  `How long the grant lasts without a renewal, in seconds; as the lock is configured if left out, and there ${limits.V1_TTL_SECONDS_DEFAULT}.`,
)
const maxHoldSeconds = s.integer(
  1,
  limits.HOLD_MS_MAX / 1000,
  'The longest that a grant lasts, in seconds, renewed or not.',
)
const lockDelaySeconds = s.integer(
  0,
  limits.LOCK_DELAY_MS_MAX / 1000,
  'For this long after an unclean end nobody gets the lock, in seconds.',
)
const waitSeconds = s.integer(
  0,
  limits.REST_WAIT_MS_MAX / 1000,
  'How long to wait in line, in seconds; 0, or left out, only tries.',
)

const configuration = {
  description: s.optional(s.description),
  default_ttl_seconds: s.optional(ttlSeconds),
  max_hold_seconds: s.optional(maxHoldSeconds),
  lock_delay_seconds: s.optional(lockDelaySeconds),
  preemption: s.optional(s.preemption),
  labels: s.optional(s.labels),
}

export const v1Lock = s.closed({
  name: s.lockName,
  state: s.lockState,
  holder: s.optional(Type.String()),
  token: s.optional(s.token),
  acquired_at: s.optional(s.timestamp),
  expires_at: s.optional(s.timestamp),
  waiters: s.count,
  ...configuration,
  delayed_seconds: s.optional(s.count),
  frozen: s.optional(s.closed({ until: s.timestamp, by: Type.String(), reason: Type.String() })),
})
export type V1Lock = Static<typeof v1Lock>

const idempotencyKey = {
  name: 'Idempotency-Key',
  isRequired: false,
  description:
    'A retry under the same key gets the same grant, for 24 hours. The same key with another body is refused.',
} as const

const exampleLock = {
  name: 'orders',
  state: 'held',
  holder: 'billing-7',
  token: 4294967301,
  acquired_at: '2026-11-21T09:00:00.000Z',
  expires_at: '2026-11-21T09:00:30.000Z',
  waiters: 0,
}

const configureLock = operation({
  id: 'configureLock',
  version: 'v1',
  tag: 'Locks',
  method: 'PUT',
  path: '/v1/locks/{name}',
  action: 'lock.create',
  summary: 'Configure a lock',
  description: 'A lock needs no configuration to be used. What the body leaves out goes back to its default.',
  errors: ['quota_exceeded', 'storage_full'],
  params: s.nameParams,
  query: s.noFields,
  body: s.closed(configuration),
  bodyExample: { description: 'One writer at a time', default_ttl_seconds: 60 },
  replies: { 200: { description: 'Changed.', body: v1Lock }, 201: { description: 'Created.', body: v1Lock } },
})

const listLocks = operation({
  id: 'listLocks',
  version: 'v1',
  tag: 'Locks',
  method: 'GET',
  path: '/v1/locks',
  action: 'lock.list',
  summary: 'List the locks that are configured or in use',
  errors: [],
  params: s.noFields,
  query: s.closed({
    prefix: s.optional(s.lockPrefix),
    limit: s.optional(s.pageLimitQuery),
    start: s.optional(s.pageStart),
  }),
  body: null,
  replies: {
    200: {
      description: 'A page, ordered by name.',
      body: s.closed({
        locks: Type.Array(v1Lock),
        limit: s.pageLimit,
        first: s.pageLink,
        next: s.optional(s.nextLink),
      }),
    },
  },
})

const getLock = operation({
  id: 'getLock',
  version: 'v1',
  tag: 'Locks',
  method: 'GET',
  path: '/v1/locks/{name}',
  action: 'lock.read',
  summary: 'Look at a lock',
  errors: ['not_found'],
  params: s.nameParams,
  query: s.noFields,
  body: null,
  replies: { 200: { description: 'The lock.', body: v1Lock, example: exampleLock } },
})

const deleteLock = operation({
  id: 'deleteLock',
  version: 'v1',
  tag: 'Locks',
  method: 'DELETE',
  path: '/v1/locks/{name}',
  action: 'lock.delete',
  summary: "Delete a lock's configuration",
  errors: ['not_found', 'lock_held'],
  params: s.nameParams,
  query: s.noFields,
  body: null,
  replies: { 204: { description: 'Deleted.', body: null } },
})

const acquireLock = operation({
  id: 'acquireLock',
  version: 'v1',
  tag: 'Locks',
  method: 'POST',
  path: '/v1/locks/{name}/acquire',
  action: 'lock.acquire',
  summary: 'Acquire a lock',
  description:
    'Answers when the lock is yours, or with `lock_held` when the wait is over. The grant ends by itself after its TTL unless it is renewed: rely on it for ' +
    'three quarters of `waited_seconds` and `ttl_seconds` from when you sent this, by a clock that nobody sets; not from the answer, which may have been late. ' +
    '`lock_id` is secret: it renews and releases. `token` is public: pass it to what the lock protects, and refuse smaller ones there.',
  errors: ['lock_held', 'frozen', 'deadlock', 'lock_lost', 'queue_full', 'quota_exceeded', 'storage_full'],
  headers: [idempotencyKey],
  params: s.nameParams,
  query: s.noFields,
  body: s.closed({
    holder: s.optional(s.holder),
    ttl_seconds: s.optional(ttlSeconds),
    wait_seconds: s.optional(waitSeconds),
    priority: s.optional(s.priority),
    preempt: s.optional(
      Type.Boolean({ description: 'Take the lock from a holder of lower priority, with notice; not if left out.' }),
    ),
    metadata: s.optional(s.metadata),
  }),
  bodyExample: { holder: 'billing-7', ttl_seconds: 30, wait_seconds: 10 },
  replies: {
    200: {
      description: 'The lock is yours.',
      body: s.closed({
        name: s.lockName,
        lock_id: s.lockId,
        token: s.token,
        holder: Type.String(),
        ttl_seconds: Type.Number({ minimum: 0 }),
        acquired_at: s.timestamp,
        expires_at: s.timestamp,
        changes: s.changes,
        waited_seconds: Type.Number({
          minimum: 0,
          description:
            'How long the request stood in line. Of one that was sent again under its `Idempotency-Key`, since it came again: count from that sending.',
        }),
      }),
      example: {
        name: 'orders',
        lock_id: '1000005.c2VjcmV0LW9mLXRoZS1ncmFudA',
        token: 4294967301,
        holder: 'billing-7',
        ttl_seconds: 30,
        acquired_at: '2026-11-21T09:00:00.000Z',
        expires_at: '2026-11-21T09:00:30.000Z',
        changes: 0,
        waited_seconds: 0,
      },
    },
  },
})

const renewLock = operation({
  id: 'renewLock',
  version: 'v1',
  tag: 'Locks',
  method: 'POST',
  path: '/v1/locks/{name}/renew',
  action: 'lock.renew',
  summary: 'Keep a lock for another TTL',
  errors: ['lock_lost'],
  params: s.nameParams,
  query: s.noFields,
  body: s.closed({ lock_id: s.lockId, ttl_seconds: s.optional(ttlSeconds) }),
  replies: {
    200: {
      description: 'Still yours.',
      body: s.closed({
        token: s.token,
        ttl_seconds: Type.Number({ minimum: 0 }),
        expires_at: s.timestamp,
        changes: s.changes,
        preempting: s.optional(
          s.closed(
            { by: Type.String(), reason: Type.String(), ends_in_seconds: Type.Number({ minimum: 0 }) },
            { description: 'Clean up and release: the grant ends.' },
          ),
        ),
      }),
    },
  },
})

const releaseLock = operation({
  id: 'releaseLock',
  version: 'v1',
  tag: 'Locks',
  method: 'POST',
  path: '/v1/locks/{name}/release',
  action: 'lock.release',
  summary: 'Release a lock',
  errors: ['lock_lost'],
  params: s.nameParams,
  query: s.noFields,
  body: s.closed({ lock_id: s.lockId }),
  replies: {
    200: { description: 'Released.', body: s.closed({ released: Type.Literal(true) }), example: { released: true } },
  },
})

const watchLock = operation({
  id: 'watchLock',
  version: 'v1',
  tag: 'Locks',
  method: 'GET',
  path: '/v1/locks/{name}/watch',
  action: 'lock.watch',
  summary: "Watch a lock's events",
  description:
    'Server-sent events. Reconnect with `Last-Event-ID` to miss none; a `reset` event says that some are no longer known.',
  errors: ['quota_exceeded'],
  headers: [{ name: 'Last-Event-ID', isRequired: false, description: 'Resume after this event.' }],
  params: s.nameParams,
  query: s.closed({ cursor: s.optional(s.cursor) }),
  body: null,
  replies: { 200: { description: 'Events, as they happen.', body: s.lockEvent, isStream: true } },
})

export const v1 = {
  configureLock,
  listLocks,
  getLock,
  deleteLock,
  acquireLock,
  renewLock,
  releaseLock,
  watchLock,
} as const
