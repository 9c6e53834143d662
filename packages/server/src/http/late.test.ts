/** A store that does not answer: what is asked over REST is answered all the same, and does nothing behind the caller's back. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { type Clock, systemClock } from '../clock.ts'
import { EngineUnavailable } from '../engine/engine.ts'
import { isAppend, TestEngine } from '../shards/testing.ts'
import { ANSWER_MS_MAX } from './call.ts'
import { withDoors } from './testing.ts'

type Late = { engine: TestEngine; clock: Clock; delays: number[]; pending(): number; isLate(): void }

/** Time passes for answers only, when told to. */
function late(): Late {
  const engine = new TestEngine()
  const timers = new Set<() => void>()
  const delays: number[] = []
  const clock: Clock = {
    ...systemClock,
    after(delayMs, callback) {
      if (delayMs < ANSWER_MS_MAX) return systemClock.after(delayMs, callback)
      delays.push(delayMs)
      timers.add(callback)
      return () => timers.delete(callback)
    },
  }
  const isLate = () => {
    for (const fire of [...timers]) fire()
  }
  return { engine, clock, delays, pending: () => timers.size, isLate }
}

const acquire = (ask: Parameters<Parameters<typeof withDoors>[0]>[0]['ask'], lock: string, body = {}) =>
  ask('POST', `/v1/locks/${lock}/acquire`, { body: { ttl_seconds: 600, ...body } })

async function until(isSo: () => boolean | Promise<boolean>): Promise<void> {
  while (!(await isSo())) await new Promise(resolve => setTimeout(resolve, 5))
}

test('an answer may take ANSWER_MS_MAX beyond the wait; then its outcome is called unknown', async () => {
  const { engine, clock, delays, isLate } = late()
  await withDoors(
    async ({ ask }) => {
      const held = (await acquire(ask, 'held')).body
      engine.hold(isAppend)
      delays.length = 0
      const answers = [
        acquire(ask, 'free'),
        acquire(ask, 'held', { wait_seconds: 7 }),
        ask('POST', '/v1/locks/held/release', { body: { lock_id: held.lock_id } }),
        ask('PUT', '/v2/locks/configured', { body: {} }),
      ]
      await until(() => delays.length === answers.length)
      assert.deepEqual(delays.sort(), [...[0, 0, 0].map(() => ANSWER_MS_MAX), 7_000 + ANSWER_MS_MAX].sort())
      isLate()
      for (const { status, headers, body } of await Promise.all(answers)) {
        assert.deepEqual([status, body.errors[0].code], [503, 'unavailable'])
        assert.match(body.errors[0].message, /outcome is unknown.*ask again under the same/)
        assert.equal(headers['retry-after'], '1')
      }
      engine.letGo()
      // What gives back and what configures is done; what was to be had for nobody is not to be seen.
      await until(async () => (await ask('GET', '/v2/locks/configured')).status === 200)
      await until(async () => (await ask('GET', '/v2/locks/held')).status === 404)
      await until(async () => (await ask('GET', '/v2/locks/free')).status === 404)
    },
    { engine, clock },
  )
})

test('an answer that comes leaves no timer behind, whether it is a reply or a refusal', async () => {
  const { engine, clock, pending } = late()
  await withDoors(
    async ({ ask }) => {
      const before = pending()
      assert.equal((await acquire(ask, 'a')).status, 200)
      assert.equal((await acquire(ask, 'a')).status, 409)
      assert.equal(pending(), before)
      assert.equal((await ask('GET', '/v2/locks/a')).body.state, 'held')
    },
    { engine, clock },
  )
})

test('what is read from a store that does not answer is unavailable, and no bug of ours', async () => {
  const engine = new TestEngine()
  await withDoors(
    async ({ ask }) => {
      await acquire(ask, 'a')
      const silent = async () => {
        throw new EngineUnavailable('no answer within 2 s')
      }
      Object.assign(engine, { read: silent, list: silent })
      for (const path of ['locks/a/history', `locks/a/held?at=${new Date().toISOString()}`, 'audit', 'audit/heads']) {
        const { status, headers, body } = await ask('GET', `/v2/${path}`)
        assert.deepEqual([status, body.errors[0].code, headers['retry-after']], [503, 'unavailable', '1'], path)
        assert.match(body.errors[0].message, /^The store has not answered; ask again/)
      }
    },
    { engine },
  )
})
