import assert from 'node:assert/strict'
import { test } from 'node:test'
import { FakeClock } from '../shards/testing.ts'
import { CLOCK_STEP_MS, LOOK_MS, watchClockSteps } from './clock-steps.ts'

test('a wall clock that is set is told, ahead and back, once each; and none that goes with the time since boot', async () => {
  const clock = new FakeClock()
  const told: number[] = []
  const stop = watchClockSteps(clock, ms => void told.push(ms))
  await clock.pass(10 * LOOK_MS)
  clock.pause(60_000)
  clock.suspend(60_000)
  clock.set(CLOCK_STEP_MS - 1)
  await clock.pass(2 * LOOK_MS)
  assert.deepEqual(told, [])
  clock.set(CLOCK_STEP_MS)
  await clock.pass(2 * LOOK_MS)
  clock.set(-3_600_000)
  await clock.pass(2 * LOOK_MS)
  assert.deepEqual(told, [CLOCK_STEP_MS, -3_600_000])
  stop()
  clock.set(3_600_000)
  await clock.pass(2 * LOOK_MS)
  assert.equal(told.length, 2)
})

test('a clock that is slewed, however far in the end, is not set', async () => {
  const clock = new FakeClock()
  const told: number[] = []
  const stop = watchClockSteps(clock, ms => void told.push(ms))
  for (let count = 0; count < 100; count++) {
    clock.set(CLOCK_STEP_MS / 2)
    await clock.pass(LOOK_MS)
  }
  assert.deepEqual(told, [])
  stop()
})
