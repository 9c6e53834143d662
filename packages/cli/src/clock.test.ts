import { strict as assert } from 'node:assert'
import os from 'node:os'
import { test } from 'node:test'
import { leftUntil, momentIn } from './clock.ts'

test('a promise ends by the clock that says more has passed: a machine that sleeps has one that stands still', t => {
  let [monotonicMs, uptimeSeconds] = [500, 70]
  t.mock.method(performance, 'now', () => monotonicMs)
  t.mock.method(os, 'uptime', () => uptimeSeconds)
  const until = momentIn(10_000)
  assert.equal(leftUntil(until), 10_000)
  monotonicMs += 4_000
  uptimeSeconds += 4
  assert.equal(leftUntil(until), 6_000)
  // It sleeps for an hour.
  uptimeSeconds += 3_600
  monotonicMs += 1_000
  assert.ok(leftUntil(until) < 0)
  // And what the coarser clock has not told yet, the finer one tells.
  uptimeSeconds = 70
  assert.equal(leftUntil(until), 5_000)
})
