/** `/v2`: locks. */
import { Type } from 'typebox'
import { ifMatchHeader, operation, sessionHeader } from './operation.ts'
import * as s from './schemas.ts'
import * as v from './v2-schemas.ts'

const lockReply = (text: string) => ({ description: text, body: v.v2Lock })
const requestId = s.optional(s.requestId)
const acquireErrors = [
  'lock_held',
  'lock_lost',
  'frozen',
  'deadlock',
  'queue_full',
  'quota_exceeded',
  'storage_full',
] as const

const valueText = 'The answer has the value of the lock only for those with `lock.read`.'

const listLocks = operation({
  id: 'listLocks',
  version: 'v2',
  tag: 'Locks',
  method: 'GET',
  path: '/v2/locks',
  action: 'lock.list',
  summary: 'List the locks that are configured or in use',
  description: 'Values are shown of those locks that may be read (`lock.read`).',
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
        locks: Type.Array(v.v2Lock),
        limit: s.pageLimit,
        first: s.pageLink,
        next: s.optional(s.nextLink),
      }),
    },
  },
})

const getLock = operation({
  id: 'getLock',
  version: 'v2',
  tag: 'Locks',
  method: 'GET',
  path: '/v2/locks/{name}',
  action: 'lock.read',
  summary: 'Look at a lock',
  errors: ['not_found'],
  params: s.nameParams,
  query: s.noFields,
  body: null,
  replies: { 200: lockReply('The lock. A configured one has an `ETag`.') },
})

const putLock = operation({
  id: 'putLock',
  version: 'v2',
  tag: 'Locks',
  method: 'PUT',
  path: '/v2/locks/{name}',
  action: 'lock.create',
  summary: 'Configure a lock',
  description: `What the body leaves out goes back to its default. ${valueText}`,
  errors: ['precondition_failed', 'quota_exceeded', 'storage_full'],
  headers: [ifMatchHeader],
  params: s.nameParams,
  query: s.noFields,
  body: v.lockConfiguration,
  bodyExample: { description: 'Three at a time', limit: 3, queue_max: 100 },
  replies: { 200: lockReply('Changed.'), 201: lockReply('Created.') },
})

const patchLock = operation({
  id: 'patchLock',
  version: 'v2',
  tag: 'Locks',
  method: 'PATCH',
  path: '/v2/locks/{name}',
  action: 'lock.create',
  summary: 'Change some settings of a lock',
  description: `A merge patch (RFC 7386): null takes a setting or a label away, what is left out stays. ${valueText}`,
  errors: ['precondition_failed', 'quota_exceeded', 'storage_full'],
  headers: [ifMatchHeader],
  params: s.nameParams,
  query: s.noFields,
  body: v.lockPatch,
  replies: { 200: lockReply('Changed.'), 201: lockReply('Created.') },
})

const deleteLock = operation({
  id: 'deleteLock',
  version: 'v2',
  tag: 'Locks',
  method: 'DELETE',
  path: '/v2/locks/{name}',
  action: 'lock.delete',
  summary: "Delete a lock's configuration",
  errors: ['not_found', 'lock_held', 'precondition_failed'],
  headers: [ifMatchHeader],
  params: s.nameParams,
  query: s.noFields,
  body: null,
  replies: { 204: { description: 'Deleted.', body: null } },
})

const acquireLock = operation({
  id: 'acquireLock',
  version: 'v2',
  tag: 'Locks',
  method: 'POST',
  path: '/v2/locks/{name}/acquire',
  action: 'lock.acquire',
  summary: 'Acquire a lock for a session',
  description:
    'Answers within `wait_ms`: with the grant, or with `lock_held`. The reply confers time from before the request was sent. ' +
    'A repeat under the same `request_id` gets the same grant, never a second one.',
  errors: acquireErrors,
  headers: [sessionHeader],
  params: s.nameParams,
  query: s.noFields,
  body: s.closed({
    ...v.claimFields,
    ...v.askFields,
    wait_ms: s.optional(s.restWaitMs),
    request_id: requestId,
    value: s.optional(s.lockValue),
  }),
  bodyExample: { mode: 'exclusive', wait_ms: 10000, request_id: 'job-17' },
  replies: { 200: { description: 'The lock is yours.', body: v.acquired } },
})

const releaseLock = operation({
  id: 'releaseLock',
  version: 'v2',
  tag: 'Locks',
  method: 'POST',
  path: '/v2/locks/{name}/release',
  action: 'lock.release',
  summary: 'Release a lock',
  errors: ['lock_lost', 'stale_token'],
  headers: [sessionHeader],
  params: s.nameParams,
  query: s.noFields,
  body: s.closed({ token: s.token, request_id: requestId }),
  replies: { 200: { description: 'Released, or entered once less.', body: v.released } },
})

const transferLock = operation({
  id: 'transferLock',
  version: 'v2',
  tag: 'Locks',
  method: 'POST',
  path: '/v2/locks/{name}/transfer',
  action: 'lock.transfer',
  summary: 'Hand a lock to another session in one step',
  errors: ['lock_lost', 'stale_token', 'not_found', 'quota_exceeded', 'storage_full'],
  headers: [sessionHeader],
  params: s.nameParams,
  query: s.noFields,
  body: s.closed({ token: s.token, to_session: s.sessionId, request_id: requestId }),
  replies: { 200: { description: 'Handed over, under a new token.', body: s.closed({ token: s.token }) } },
})

const cancelRequest = operation({
  id: 'cancelRequest',
  version: 'v2',
  tag: 'Locks',
  method: 'POST',
  path: '/v2/locks/{name}/cancel',
  action: 'lock.acquire',
  summary: 'Give up a request to acquire',
  description:
    'Remembered: the request is refused even if it arrives later. A grant that it has already got is released.',
  errors: ['not_found', 'lock_lost'],
  headers: [sessionHeader],
  params: s.nameParams,
  query: s.noFields,
  body: s.closed({ request_id: s.requestId }),
  replies: { 200: { description: 'Given up.', body: s.closed({ cancelled: Type.Literal(true) }) } },
})

const validateToken = operation({
  id: 'validateToken',
  version: 'v2',
  tag: 'Locks',
  method: 'POST',
  path: '/v2/locks/{name}/validate',
  action: 'lock.validate',
  summary: 'Ask whether a token is that of a current grant',
  description: 'True when answered, not when acted upon: compare tokens at the resource where you can.',
  errors: ['stale_token'],
  params: s.nameParams,
  query: s.noFields,
  body: s.closed({ token: s.token }),
  replies: {
    200: {
      description: 'It is.',
      body: s.closed({ valid: Type.Literal(true), token: s.token, holder: Type.String() }),
    },
  },
})

const readValue = operation({
  id: 'readValue',
  version: 'v2',
  tag: 'Locks',
  method: 'GET',
  path: '/v2/locks/{name}/value',
  action: 'lock.read',
  summary: "Read a lock's value",
  errors: ['not_found'],
  params: s.nameParams,
  query: s.noFields,
  body: null,
  replies: { 200: { description: 'The value and the token it was written with.', body: v.v2Value } },
})

const writeValue = operation({
  id: 'writeValue',
  version: 'v2',
  tag: 'Locks',
  method: 'PUT',
  path: '/v2/locks/{name}/value',
  action: 'lock.write-value',
  summary: "Write a lock's value as its holder",
  errors: ['stale_token', 'lock_lost', 'storage_full'],
  headers: [sessionHeader],
  params: s.nameParams,
  query: s.noFields,
  body: s.closed({ token: s.token, value: s.lockValue, request_id: requestId }),
  replies: { 200: { description: 'Written.', body: s.closed({ token: s.token, written_at: s.timestamp }) } },
})

const showQueue = operation({
  id: 'showQueue',
  version: 'v2',
  tag: 'Locks',
  method: 'GET',
  path: '/v2/locks/{name}/queue',
  action: 'lock.read',
  summary: 'Why am I waiting: who holds the lock and who waits, in order',
  errors: ['not_found'],
  params: s.nameParams,
  query: s.noFields,
  body: null,
  replies: {
    200: {
      description: 'The lock and its queue.',
      body: s.closed({ lock: v.v2Lock, waiters: Type.Array(v.waiterView) }),
    },
  },
})

const showHistory = operation({
  id: 'showHistory',
  version: 'v2',
  tag: 'Locks',
  method: 'GET',
  path: '/v2/locks/{name}/history',
  action: 'lock.read',
  summary: 'What has happened to a lock, newest first',
  errors: [],
  params: s.nameParams,
  query: s.closed({ limit: s.optional(s.pageLimitQuery), start: s.optional(s.cursor) }),
  body: null,
  replies: {
    200: {
      description: 'A page of events, as far as they are kept.',
      body: s.closed({
        events: Type.Array(s.lockEvent),
        limit: s.pageLimit,
        first: s.pageLink,
        next: s.optional(s.nextLink),
      }),
    },
  },
})

export const v2Locks = {
  listLocks,
  getLock,
  putLock,
  patchLock,
  deleteLock,
  acquireLock,
  releaseLock,
  transferLock,
  cancelRequest,
  validateToken,
  readValue,
  writeValue,
  showQueue,
  showHistory,
} as const
