import assert from 'node:assert/strict'
import { test } from 'node:test'
import { Belief, beliefMs, endBeliefMs, guardMs, later } from './belief.ts'
import { deadlineAfter, type Instant, remainingMs } from './clock.ts'

const at = (ms: number, boot = ms): Instant => ({ monotonicMs: ms, bootMs: boot })

test('the deadline of the default TTL is the one that SAFETY computes', () => {
  assert.equal(Math.floor(beliefMs({ ttlMs: 15_000 })), 12_022)
})

test('a short TTL has a guard of a twentieth, a long one of a quarter second', () => {
  assert.equal(guardMs(1_000), 50)
  assert.equal(guardMs(60_000), 250)
})

test('a wait counts towards belief, less the drift', () => {
  const plain = beliefMs({ ttlMs: 15_000 })
  const waited = beliefMs({ ttlMs: 15_000, waitedMs: 11_000 })
  assert.ok(Math.abs(waited - plain - 9_000) < 1e-6)
})

test('a known end is believed less the drift and the guard of the TTL', () => {
  assert.ok(Math.abs(endBeliefMs({ endsInMs: 11_000, ttlMs: 15_000 }) - 8_750) < 1e-6)
})

test('the clock that says more decides: a suspended machine has lost its locks', () => {
  const deadline = deadlineAfter(at(0), 10_000)
  assert.equal(remainingMs(deadline, at(1_000, 11_000)), -1_000)
})

test('belief counts from the sending, keeps the latest proof and never an older one', () => {
  const belief = new Belief(15_000)
  assert.equal(belief.remainingMs(at(0)), 0)
  belief.confer({ since: at(1_000), ttlMs: 15_000, waitedMs: 0, changes: 0 }, at(1_100))
  const first = belief.remainingMs(at(2_000))
  assert.equal(Math.floor(first), 11_022)
  belief.confer({ since: at(500), ttlMs: 15_000, waitedMs: 0, changes: 0 }, at(2_000))
  assert.equal(belief.remainingMs(at(2_000)), first)
  belief.confer({ since: at(2_000), ttlMs: 15_000, waitedMs: 0, changes: 0 }, at(2_100))
  assert.ok(belief.remainingMs(at(2_100)) > first)
})

test('a reply with changes that were not processed extends nothing', () => {
  const belief = new Belief(15_000)
  belief.confer({ since: at(0), ttlMs: 15_000, waitedMs: 0, changes: 0 }, at(0))
  const before = belief.remainingMs(at(5_000))
  assert.equal(belief.confer({ since: at(4_000), ttlMs: 15_000, waitedMs: 0, changes: 1 }, at(5_000)), false)
  assert.equal(belief.remainingMs(at(5_000)), before)
  belief.processedChanges = 1
  assert.equal(belief.confer({ since: at(4_000), ttlMs: 15_000, waitedMs: 0, changes: 1 }, at(5_000)), true)
  assert.ok(belief.remainingMs(at(5_000)) > before)
})

test('of two proven deadlines the later one counts, also across a suspension', () => {
  const now = at(100, 50_000)
  const before = at(200, 40_000)
  const after = at(150, 50_050)
  assert.equal(later(before, after, now), after)
})
