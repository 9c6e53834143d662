/**
 * The messages of the WebSocket as schemas: what the server checks each message against. The types of `frame.ts` say the
 * same without a dependency; `frame-schemas.test.ts` holds the two together.
 */
import { type TProperties, Type } from 'typebox'
import * as limits from './limits.ts'
import * as s from './schemas.ts'
import * as v from './v2-schemas.ts'

const requestNumber = s.integer(1, Number.MAX_SAFE_INTEGER, 'A positive integer that only grows within the session.')
const name = { name: s.lockName }
const held = { name: s.lockName, token: s.token }
const waitMs = s.optional(
  Type.Union([s.integer(0, limits.WAIT_MS_MAX, 'How long to wait in line, in ms; null: without limit.'), Type.Null()]),
)
const ask = { wait_ms: waitMs, ...v.askFields }

function request<const Name extends string, Properties extends TProperties>(type: Name, properties: Properties) {
  return s.closed({ type: Type.Literal(type), id: requestNumber, settled: s.optional(requestNumber), ...properties })
}

export const hello = s.closed({
  type: Type.Literal('hello'),
  authorization: s.optional(
    Type.String({ minLength: 1, maxLength: limits.AUTHORIZATION_CHARS_MAX, pattern: '^[\\x20-\\x7e]*$' }),
  ),
  instance: s.optional(s.instanceId),
  session: s.optional(s.lockId),
  resume: s.optional(s.lockId),
  ttl_ms: s.optional(s.ttlMs),
  labels: s.optional(s.labels),
})

/** By the type of the message, so that one look-up finds what to check. */
export const requests = {
  renew: request('renew', {
    ttl_ms: s.optional(s.ttlMs),
    seen_changes: s.optional(s.changes),
    wants_grants: s.optional(Type.Boolean()),
  }),
  acquire: request('acquire', { ...name, ...v.claimFields, ...ask, value: s.optional(s.lockValue) }),
  acquire_all: request('acquire_all', { locks: v.claims, ...ask }),
  release: request('release', held),
  release_all: request('release_all', { grants: v.grantNames }),
  cancel: request('cancel', { request_id: requestNumber }),
  transfer: request('transfer', { ...held, to_session: s.sessionId }),
  validate: request('validate', held),
  value: request('value', name),
  write_value: request('write_value', { ...held, value: s.lockValue }),
  show: request('show', name),
  queue: request('queue', name),
  watch: request('watch', {
    prefix: s.optional(s.lockPrefix),
    name: s.optional(s.lockName),
    after: s.optional(s.cursor),
  }),
  unwatch: request('unwatch', { watch: requestNumber }),
  close: request('close', {}),
} as const

export const clientMessage = Type.Union([hello, ...Object.values(requests)])

const push = { ...held, changes: s.changes }
export const serverMessage = Type.Union([
  s.closed({
    type: Type.Literal('welcome'),
    session: s.closed({ id: s.sessionId, secret: s.lockId }),
    ...v.confersFields,
    server_time: s.timestamp,
    server: Type.String(),
    owner_url: s.optional(Type.String()),
    grants: s.optional(Type.Array(s.grant)),
  }),
  Type.Object({
    type: Type.Literal('reply'),
    id: s.count,
    error: s.optional(s.wireError),
    ttl_ms: s.optional(s.ttlMs),
    changes: s.optional(s.changes),
    epoch: s.optional(s.count),
  }),
  s.closed({ type: Type.Literal('queued'), id: requestNumber, position: s.count }),
  s.closed({
    type: Type.Literal('preempting'),
    ...push,
    by: Type.String(),
    reason: Type.String(),
    grace_ms: s.durationMs,
  }),
  s.closed({ type: Type.Literal('expiring'), ...held, ends_in_ms: s.durationMs }),
  s.closed({ type: Type.Literal('lost'), ...push, reason: Type.String() }),
  s.closed({ type: Type.Literal('received'), ...push }),
  s.closed({ type: Type.Literal('event'), watch: requestNumber, event: s.lockEvent }),
  s.closed({ type: Type.Literal('reset'), watch: requestNumber, cursor: s.cursor }),
  s.closed({ type: Type.Literal('ended'), watch: requestNumber, error: s.wireError }),
  s.closed({ type: Type.Literal('moved'), owner_url: s.optional(Type.String()) }),
  s.closed({ type: Type.Literal('going_away') }),
])
