/** The owner's word is kept for as long as it holds, for the credential that heard it, and for nothing that is never refused. */
import assert from 'node:assert/strict'
import { request as httpRequest, type IncomingMessage } from 'node:http'
import { test } from 'node:test'
import type { WireError } from '@holdfast/protocol/errors'
import type { OperationFields } from '@holdfast/protocol/operation'
import { v1 } from '@holdfast/protocol/v1'
import { v2 } from '@holdfast/protocol/v2'
import { systemClock } from '../clock.ts'
import { instanceRecord } from '../registry/testing.ts'
import { ROOT_KEY, type TestServer, withServer } from '../testing.ts'
import { EXHAUSTED_MAX, Exhausted, PROMPT_REFUSALS_MAX, takesOperation } from './exhausted.ts'
import { v1Routes } from './v1/index.ts'
import { v2Routes } from './v2/index.ts'

const refusal = (retryMs: number): WireError => ({
  code: 'rate_limited',
  message: 'too much',
  limit: 'operations_per_second',
  max: 1,
  retry_after_ms: retryMs,
})
const of = (key: string, instance?: string) => ({
  authorization: `Bearer ${key}`,
  ...(instance !== undefined && { 'holdfast-instance': instance }),
})

test('what the owner has said holds until its time is over, for this credential and instance alone', () => {
  const exhausted = new Exhausted()
  assert.equal(exhausted.refusal(of('a'), 0), null)
  exhausted.note(of('a'), refusal(50), 100)
  assert.deepEqual(exhausted.refusal(of('a'), 120), { error: refusal(30), heldMs: 0 })
  for (const other of [of('b'), of('a', 'other'), {}]) assert.equal(exhausted.refusal(other, 120), null)
  assert.equal(exhausted.refusal(of('a'), 150), null)
  // A limit that is raised is felt within a second.
  exhausted.note(of('a'), refusal(60_000), 200)
  assert.ok(exhausted.refusal(of('a'), 1_199))
  assert.equal(exhausted.refusal(of('a'), 1_200), null)
  exhausted.note(of('a'), { ...refusal(50), code: 'quota_exceeded' }, 2_000)
  assert.equal(exhausted.refusal(of('a'), 2_001), null)
})

test('nothing is kept of a client that is known by its certificate: nobody else hears of its limit', () => {
  const exhausted = new Exhausted()
  const headers = { 'holdfast-instance': 'a' }
  exhausted.note(headers, refusal(50), 0)
  assert.equal(exhausted.size, 0)
  assert.equal(exhausted.refusal(headers, 1), null)
})

test('of the refusals of a second PROMPT_REFUSALS_MAX are answered at once, and one more is held', () => {
  const exhausted = new Exhausted()
  exhausted.note(of('a'), refusal(60_000), 0)
  const heldMs = (nowMs: number) => exhausted.refusal(of('a'), nowMs)?.heldMs ?? 0
  for (let index = 0; index < PROMPT_REFUSALS_MAX; index++) assert.equal(heldMs(index), 0)
  assert.ok(heldMs(500) > 0)
  // What the owner says meanwhile does not make it a new second; time does.
  exhausted.note(of('a'), refusal(60_000), 600)
  assert.ok(heldMs(700) > 0)
  assert.equal(heldMs(1_000), 0)
})

test('when nobody has been refused for a while nobody is remembered', () => {
  const exhausted = new Exhausted()
  for (const key of ['a', 'b']) exhausted.note(of(key), refusal(50), 0)
  assert.equal(exhausted.size, 2)
  assert.equal(exhausted.refusal(of('c'), 900), null)
  assert.equal(exhausted.size, 2)
  assert.equal(exhausted.refusal(of('c'), 1_050), null)
  assert.equal(exhausted.size, 0)
})

test('EXHAUSTED_MAX are kept, and one more when some are over', () => {
  const exhausted = new Exhausted()
  for (let index = 0; index < EXHAUSTED_MAX; index++) exhausted.note(of(`${index}`), refusal(100), 0)
  exhausted.note(of('more'), refusal(100), 50)
  assert.equal(exhausted.refusal(of('more'), 60), null)
  assert.ok(exhausted.refusal(of('0'), 60))
  exhausted.note(of('more'), refusal(100), 100)
  assert.ok(exhausted.refusal(of('more'), 110))
})

type Reply = { status: number; headers: IncomingMessage['headers']; body: string }

function call(url: string, method: string, path: string, headers: Record<string, string> = {}): Promise<Reply> {
  return new Promise((resolve, reject) => {
    const type: Record<string, string> = method === 'POST' ? { 'content-type': 'application/json' } : {}
    const all = { authorization: `Bearer ${ROOT_KEY}`, ...type, ...headers }
    const request = httpRequest(`${url}${path}`, { method, headers: all }, response => {
      let body = ''
      response.setEncoding('utf8')
      response.on('data', text => {
        body += text
      })
      response.on('end', () => resolve({ status: response.statusCode ?? 0, headers: response.headers, body }))
    })
    request.on('error', reject)
    request.end(method === 'POST' ? '{}' : undefined)
  })
}

type Flow = { operationsPerSecond: number; burstOperations: number }

async function limit({ registry }: TestServer, flow: Flow): Promise<void> {
  const limits = { heldLocks: null, sessions: null, waiters: null, watches: null, storedBytes: null }
  const value = instanceRecord({ id: 'default', plan: 'premium', overrides: { ...limits, ...flow } })
  const deed = { by: '', from: '', action: '', instance: null, target: '', outcome: 'success', status: 200 } as const
  await registry.change({ ...deed, reason: '', trace: '' }, () => [{ kind: 'instance', id: 'default', value }])
}

const bodies: Record<string, object> = {
  acquireAll: { locks: [{ name: 'a' }] },
  releaseAll: { grants: [{ name: 'a', token: 1 }] },
  campaign: { value: 'x' },
  proclaim: { token: 1, value: 'x' },
  resign: { token: 1 },
  releaseLock: { token: 1 },
  validateToken: { token: 1 },
  writeValue: { token: 1, value: 'x' },
  transferLock: { token: 1, to_session: 's-1' },
  cancelRequest: { request_id: 'x' },
  freeze: { prefix: 'b', until: '2090-01-01T00:00:00Z', reason: 'x' },
}

test('refused before it is looked at is exactly what the owner refuses to whoever has no operation left', async () => {
  await withServer(async server => {
    const session = await server.openSession()
    await limit(server, { operationsPerSecond: 0, burstOperations: 0 })
    // Streams that take no operation would begin, and not end.
    const streams = new Set<OperationFields>([v1.watchLock, v2.watch, v2.connect])
    for (const operation of [...v1Routes, ...v2Routes].map(({ operation }) => operation as OperationFields)) {
      const { id, method, path } = operation
      const url = path
        .replace('{name}', 'a')
        .replace('{session_id}', session.id)
        .replaceAll(/\{\w+\}/g, 'x')
      // `inject` goes past the first look.
      const asked = { session: session.handle, ...(operation.body && { body: bodies[id] ?? {} }) }
      const isRefused = !streams.has(operation) && (await server.ask(method, url, asked)).status === 429
      assert.equal(takesOperation({ method, url }), isRefused, `${method} ${path}`)
      assert.equal(takesOperation({ method, url: `${url}?limit=1` }), isRefused, `${method} ${path}?`)
      for (const other of [`/x${url}`, `${url}/x/y/z`])
        assert.equal(takesOperation({ method, url: other }), false, other)
    }
  })
})

test('over a socket: refused with all that a refusal has, before it is looked at; releases and strangers are looked at', async () => {
  let isStill = false
  let stoppedMs = 0
  // Time stands still once something has been refused, so that what follows is within what the owner said.
  const clock = { ...systemClock, hrtimeMs: () => (isStill ? stoppedMs : systemClock.hrtimeMs()) }
  await withServer(
    async server => {
      await limit(server, { operationsPerSecond: 1, burstOperations: 1 })
      const acquire = (headers = {}) => call(server.url, 'POST', '/v1/locks/a/acquire', headers)
      for (let refused = await acquire(); refused.status !== 429; refused = await acquire());
      stoppedMs = systemClock.hrtimeMs()
      isStill = true
      // It is not looked at: without a session it would have been refused as such.
      const early = await call(server.url, 'POST', '/v2/locks/a/acquire', { 'x-request-id': 'mine' })
      assert.equal(early.status, 429)
      assert.equal(early.headers['x-request-id'], 'mine')
      for (const name of ['retry-after', 'x-ratelimit-limit', 'ratelimit', 'api-version'])
        assert.ok(early.headers[name], `${name} is missing`)
      const body = JSON.parse(early.body)
      assert.deepEqual([body.trace, body.errors[0].code, body.errors[0].max], ['mine', 'rate_limited', 1])
      assert.equal((await call(server.url, 'GET', '/v2/locks/a')).status, 429)
      assert.equal((await acquire({ authorization: 'Bearer wrong' })).status, 401)
      assert.equal((await call(server.url, 'POST', '/v1/locks/a/release')).status, 400)
      assert.equal((await call(server.url, 'GET', '/v2/whoami')).status, 200)
      assert.equal((await call(server.url, 'GET', '/v2/locks/a/history')).status, 200)
      assert.equal((await call(server.url, 'POST', '/v1/nothing/acquire')).status, 404)
      isStill = false
    },
    { clock },
  )
})
