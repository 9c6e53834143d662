import assert from 'node:assert/strict'
import { test } from 'node:test'
import { every } from './clock.ts'
import { FakeClock } from './shards/testing.ts'

test('what is done again and again waits for its last time to be done, and ends when it is cancelled, in the middle too', async () => {
  const clock = new FakeClock()
  let times = 0
  let finish: () => void = () => undefined
  const act = () => {
    times++
    return new Promise<void>(resolve => {
      finish = resolve
    })
  }
  const cancel = every(clock, 100, act)
  await clock.pass(99)
  assert.equal(times, 0)
  await clock.pass(500)
  assert.equal(times, 1)
  finish()
  await clock.pass(99)
  assert.equal(times, 1)
  await clock.pass(1)
  assert.equal(times, 2)
  cancel()
  finish()
  await clock.pass(500)
  assert.equal(times, 2)

  let looks = 0
  const stop = every(clock, 100, () => {
    if (++looks === 3) stop()
  })
  await clock.pass(1_000)
  assert.equal(looks, 3)
})
