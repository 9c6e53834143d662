/** Each limit of what a request says, where it is and one past it: over REST, and over the WebSocket what only that has. */
import assert from 'node:assert/strict'
import { once } from 'node:events'
import { test } from 'node:test'
import type { ServerMessage } from '@holdfast/protocol/frame'
import * as limits from '@holdfast/protocol/limits'
import { WebSocket } from 'ws'
import { ROOT_KEY, type TestServer, withServer } from '../testing.ts'
import { MALFORMED_MAX } from './connect/connection.ts'
import { METADATA_DEPTH_MAX } from './validate.ts'

/** `fits` is at the limit and `beyond` one past it; the latter is refused by the name of the field. */
type Row = { what: string; field: string; fits: unknown; beyond: unknown; rest?: object }

const text = (length: number) => 'x'.repeat(length)
const pairs = (count: number) => Object.fromEntries(Array.from({ length: count }, (_, index) => [`k${index}`, 'v']))
const names = (count: number) => Array.from({ length: count }, (_, index) => ({ name: `set-${index}` }))
const tokens = (count: number) => Array.from({ length: count }, (_, index) => ({ name: `set-${index}`, token: 1 }))
const nested = (depth: number): object => (depth === 0 ? {} : { a: nested(depth - 1) })
const bytes = (count: number) => ({ a: text(count - '{"a":""}'.length) })
/** Texts at the limit and one past it. */
const texts = (max: number) => ({ fits: text(max), beyond: text(max + 1) })
const most = (max: number) => ({ fits: max, beyond: max + 1 })
const least = (min: number) => ({ fits: min, beyond: min - 1 })

const rows: Row[] = [
  { what: 'POST /v2/sessions', field: 'ttl_ms', ...least(limits.TTL_MS_MIN) },
  { what: 'POST /v2/sessions', field: 'ttl_ms', ...most(limits.TTL_MS_MAX) },
  { what: 'POST /v1/locks/{}/acquire', field: 'ttl_seconds', ...most(limits.TTL_MS_MAX / 1000) },
  { what: 'POST /v1/locks/{}/acquire', field: 'wait_seconds', ...most(limits.REST_WAIT_MS_MAX / 1000) },
  { what: 'POST /v2/locks/{}/acquire', field: 'wait_ms', ...most(limits.REST_WAIT_MS_MAX) },
  { what: 'POST /v2/locks/{}/acquire', field: 'max_hold_ms', ...most(limits.HOLD_MS_MAX) },
  { what: 'POST /v2/locks/{}/acquire', field: 'lock_delay_ms', ...most(limits.LOCK_DELAY_MS_MAX) },
  { what: 'PUT /v2/locks/{}', field: 'max_hold_ms', ...most(limits.HOLD_MS_MAX) },
  { what: 'PUT /v2/locks/{}', field: 'min_hold_ms', ...most(limits.HOLD_MS_MAX) },
  { what: 'PUT /v2/locks/{}', field: 'lock_delay_ms', ...most(limits.LOCK_DELAY_MS_MAX) },
  { what: 'PUT /v2/locks/{}', field: 'grace_ms', ...most(limits.GRACE_MS_MAX) },
  { what: 'PUT /v2/locks/{}', field: 'limit', ...most(limits.PERMITS_MAX) },
  { what: 'PUT /v2/locks/{}', field: 'queue_max', ...most(limits.QUEUE_WAITERS_MAX) },
  { what: 'PUT /v2/locks/{}', field: 'description', ...texts(limits.DESCRIPTION_CHARS_MAX) },
  { what: 'PUT /v2/locks/{}', field: 'labels', fits: pairs(limits.LABELS_MAX), beyond: pairs(limits.LABELS_MAX + 1) },
  {
    what: 'POST /v2/sessions',
    field: 'labels',
    fits: { [text(limits.LABEL_KEY_CHARS_MAX)]: text(limits.LABEL_VALUE_CHARS_MAX) },
    beyond: { [text(limits.LABEL_KEY_CHARS_MAX + 1)]: 'v' },
  },
  { what: 'POST /v2/sessions', field: 'labels', fits: {}, beyond: { k: text(limits.LABEL_VALUE_CHARS_MAX + 1) } },
  { what: 'POST /v2/locks/{}/acquire', field: 'priority', ...most(limits.PRIORITY_MAX) },
  { what: 'POST /v2/locks/{}/acquire', field: 'priority', ...least(limits.PRIORITY_MIN) },
  {
    what: 'POST /v2/locks/{}/acquire',
    field: 'permits',
    ...most(limits.PERMITS_MAX),
    rest: { mode: 'permits', limit: limits.PERMITS_MAX },
  },
  { what: 'POST /v2/locks/{}/acquire', field: 'request_id', ...texts(limits.REQUEST_ID_BYTES_MAX) },
  { what: 'POST /v2/locks/{}/acquire', field: 'task', ...texts(limits.HOLDER_CHARS_MAX) },
  { what: 'POST /v1/locks/{}/acquire', field: 'holder', ...texts(limits.HOLDER_CHARS_MAX) },
  { what: 'POST /v2/locks/{}/acquire', field: 'value', ...texts(limits.VALUE_BYTES_MAX) },
  { what: 'POST /v2/locks/{}/acquire', field: 'value', fits: '', beyond: text(limits.VALUE_BYTES_MAX - 1).concat('é') },
  {
    what: 'POST /v2/locks/{}/acquire',
    field: 'metadata',
    fits: bytes(limits.METADATA_BYTES_MAX),
    beyond: bytes(limits.METADATA_BYTES_MAX + 1),
  },
  {
    what: 'POST /v2/locks/{}/acquire',
    field: 'metadata',
    fits: nested(METADATA_DEPTH_MAX - 1),
    beyond: nested(METADATA_DEPTH_MAX),
  },
  { what: 'POST /v2/locks/{}/force-release', field: 'reason', ...texts(limits.REASON_CHARS_MAX) },
  { what: 'POST /v2/locks/{}/preempt', field: 'grace_ms', ...most(limits.GRACE_MS_MAX), rest: { reason: 'x' } },
  {
    what: 'POST /v2/acquire',
    field: 'locks',
    fits: names(limits.SET_LOCKS_MAX),
    beyond: names(limits.SET_LOCKS_MAX + 1),
  },
  {
    what: 'POST /v2/release',
    field: 'grants',
    fits: tokens(limits.SESSION_LOCKS_MAX),
    beyond: tokens(limits.SESSION_LOCKS_MAX + 1),
  },
  {
    what: 'POST /v2/freezes',
    field: 'prefix',
    ...texts(limits.LOCK_NAME_BYTES_MAX),
    rest: { until: '2000-01-01T00:00:00Z', reason: 'x' },
  },
  {
    what: 'POST /v2/acquire',
    field: 'locks',
    fits: [{ name: text(limits.LOCK_NAME_BYTES_MAX) }],
    beyond: [{ name: text(limits.LOCK_NAME_BYTES_MAX + 1) }],
  },
]

test('what a body says fits at its limit, and one past it is refused by its name', () =>
  withServer(async server => {
    for (const [index, { what, field, fits, beyond, rest }] of rows.entries()) {
      const [method = '', path = ''] = what.split(' ')
      const session = (await server.openSession()).handle
      const ask = (value: unknown) =>
        server.ask(method, path.replace('{}', `lock-${index}`), { session, body: { ...rest, [field]: value } })
      const good = await ask(fits)
      const said = `${what} ${field}: ${good.text.slice(0, 200)}`
      // There may be no such grant, or a date may be over; but what it said is well-formed.
      assert.ok(good.status < 300 || good.body.errors[0].target?.name !== field, said)
      assert.ok(good.status < 500, said)
      const bad = await ask(beyond)
      assert.deepEqual([bad.status, bad.body.errors[0].code], [400, 'invalid_request'], `${what} ${field}`)
      assert.equal(bad.body.errors[0].target.name.split('.')[0], field, `${what}: ${bad.text}`)
    }
  }))

const lockPath = (name: string) => `/v2/locks/${encodeURIComponent(name)}`

test('what a path, a query and a header say fits at its limit, and one past it is refused', () =>
  withServer(async server => {
    const statusOf = async (method: string, path: string, headers: Record<string, string> = {}) =>
      (await server.ask(method, path, { headers, ...(method === 'POST' ? { body: {} } : {}) })).status
    const { LOCK_NAME_BYTES_MAX, PAGE_LIMIT_MAX, REQUEST_ID_BYTES_MAX } = limits
    assert.equal(await statusOf('GET', lockPath(text(LOCK_NAME_BYTES_MAX))), 404)
    assert.equal(await statusOf('GET', lockPath(text(LOCK_NAME_BYTES_MAX + 1))), 400)
    assert.equal(await statusOf('GET', lockPath('é'.repeat(LOCK_NAME_BYTES_MAX / 2))), 404, 'it counts bytes')
    assert.equal(await statusOf('GET', lockPath(`${'é'.repeat(LOCK_NAME_BYTES_MAX / 2)}x`)), 400)
    assert.equal(await statusOf('GET', `/v2/locks?limit=${PAGE_LIMIT_MAX}`), 200)
    assert.equal(await statusOf('GET', `/v2/locks?limit=${PAGE_LIMIT_MAX + 1}`), 400)
    assert.equal(await statusOf('GET', `/v2/locks?prefix=${text(LOCK_NAME_BYTES_MAX)}`), 200)
    assert.equal(await statusOf('GET', `/v2/locks?prefix=${text(LOCK_NAME_BYTES_MAX + 1)}`), 400)
    const key = (length: number) => ({ 'idempotency-key': text(length) })
    assert.equal(await statusOf('POST', '/v1/locks/a/acquire', key(REQUEST_ID_BYTES_MAX)), 200)
    assert.equal(await statusOf('POST', '/v1/locks/b/acquire', key(REQUEST_ID_BYTES_MAX + 1)), 400)
  }))

test('a page has as many rows as it is asked for, PAGE_LIMIT_DEFAULT if it is not', () =>
  withServer(async server => {
    const { PAGE_LIMIT_DEFAULT } = limits
    for (let index = 0; index <= PAGE_LIMIT_DEFAULT; index++)
      assert.equal((await server.ask('PUT', `/v2/locks/row-${index}`, { body: {} })).status, 201)
    const page = await server.ask('GET', '/v2/locks')
    assert.equal(page.body.locks.length, PAGE_LIMIT_DEFAULT)
    assert.ok(page.body.next.start)
    const whole = await server.ask('GET', `/v2/locks?limit=${PAGE_LIMIT_DEFAULT + 1}`)
    assert.equal(whole.body.locks.length, PAGE_LIMIT_DEFAULT + 1)
    assert.equal(whole.body.next, undefined)
  }))

type Opened = {
  raw(text: string): void
  /** The reply to the one message that has been sent. */
  next(): Promise<ServerMessage>
  ask(message: object): Promise<ServerMessage>
  closed: Promise<number>
}

async function open(server: TestServer): Promise<Opened> {
  const socket = new WebSocket(`${server.url.replace('http', 'ws')}/v2/connect`)
  const closed = once(socket, 'close').then(([code]) => Number(code))
  await once(socket, 'open')
  const next = async () => {
    const [frame] = await once(socket, 'message')
    // A frame of the server's own.
    return (JSON.parse(String(frame)) as ServerMessage[])[0]!
  }
  const raw = (text: string) => socket.send(text)
  const ask = (message: object) => {
    raw(JSON.stringify([message]))
    return next()
  }
  await ask({ type: 'hello', authorization: `Bearer ${ROOT_KEY}` })
  return { raw, next, ask, closed }
}

function codeOf(message: ServerMessage): string {
  return message.type === 'reply' ? (message.error?.code ?? 'ok') : message.type
}

test('over the WebSocket a wait has a longest, and what is not valid is answered MALFORMED_MAX times', () =>
  withServer(async server => {
    const { ask, closed } = await open(server)
    const acquire = (id: number, waitMs: number) => ask({ type: 'acquire', id, name: `w${id}`, wait_ms: waitMs })
    assert.equal(codeOf(await acquire(1, limits.WAIT_MS_MAX)), 'ok')
    assert.equal(codeOf(await acquire(2, limits.WAIT_MS_MAX + 1)), 'invalid_request')
    for (let id = 3; id <= MALFORMED_MAX + 1; id++)
      assert.equal(codeOf(await ask({ type: 'nonsense', id })), 'invalid_request')
    assert.equal(codeOf(await acquire(1_000, 0)), 'ok', 'the connection is as it was')
    void ask({ type: 'nonsense', id: 2_000 })
    assert.equal(await closed, 1008)
  }))

test('a frame has FRAME_BYTES_MAX bytes; a larger one ends the connection', () =>
  withServer(async server => {
    const { raw, next, closed } = await open(server)
    const frame = (bytes: number, id: number) => `[${JSON.stringify({ type: 'renew', id })}]`.padEnd(bytes)
    raw(frame(limits.FRAME_BYTES_MAX, 1))
    assert.equal(codeOf(await next()), 'ok')
    raw(frame(limits.FRAME_BYTES_MAX + 1, 2))
    assert.equal(await closed, 1009)
  }))
