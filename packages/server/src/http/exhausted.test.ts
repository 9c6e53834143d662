/** The owner's word is kept for as long as it holds, for the credential that heard it, and for nothing that is never refused. */
import assert from 'node:assert/strict'
import { request as httpRequest, type IncomingMessage } from 'node:http'
import { test } from 'node:test'
import type { WireError } from '@holdfast/protocol/errors'
import { systemClock } from '../clock.ts'
import { instanceRecord } from '../registry/testing.ts'
import { ROOT_KEY, withServer } from '../testing.ts'
import { EXHAUSTED_MAX, Exhausted, PROMPT_REFUSALS_MAX } from './exhausted.ts'

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

test('over a socket: refused with all that a refusal has, before it is looked at; releases and strangers are looked at', async () => {
  let isStill = false
  let stoppedMs = 0
  // Time stands still once something has been refused, so that what follows is within what the owner said.
  const clock = { ...systemClock, hrtimeMs: () => (isStill ? stoppedMs : systemClock.hrtimeMs()) }
  await withServer(
    async server => {
      const overrides = { operationsPerSecond: 1, burstOperations: 1 }
      const limits = { heldLocks: null, sessions: null, waiters: null, watches: null, storedBytes: null }
      const value = instanceRecord({ id: 'default', plan: 'premium', overrides: { ...limits, ...overrides } })
      const deed = {
        by: '',
        from: '',
        action: '',
        instance: null,
        target: '',
        outcome: 'success',
        status: 200,
      } as const
      await server.registry.change({ ...deed, reason: '', trace: '' }, () => [
        { kind: 'instance', id: 'default', value },
      ])
      const acquire = (headers = {}) => call(server.url, 'POST', '/v1/locks/a/acquire', headers)
      for (let refused = await acquire(); refused.status !== 429; refused = await acquire());
      stoppedMs = systemClock.hrtimeMs()
      isStill = true
      // Not even the path is looked at: there is no such operation of v1.
      const early = await call(server.url, 'POST', '/v1/nothing/acquire', { 'x-request-id': 'mine' })
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
      isStill = false
    },
    { clock },
  )
})
