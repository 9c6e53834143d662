import assert from 'node:assert/strict'
import { test } from 'node:test'
import { Belief, beliefMs, endBeliefMs, guardMs, later } from './belief.ts'
import { deadlineAfter, type Instant, remainingMs } from './clock.ts'
import { HeldTooShortlyError, LockLostError } from './errors.ts'
import { turn } from './testing/clock.ts'
import { holding, Script, wireGrant } from './testing/scripted.ts'

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

test('belief counts from the sending and ends by itself, with the signal, before the TTL', async () => {
  const { script, lock } = await holding()
  const { signal } = lock
  assert.equal(Math.floor(lock.validForMs()), 12_022)
  await script.connection.cut()
  await script.clock.advance(12_000)
  assert.ok(lock.isHeld)
  await script.clock.advance(40)
  assert.ok(signal.aborted)
  assert.ok(signal.reason instanceof LockLostError)
  assert.equal(signal.reason.reason, 'connection')
  assert.throws(() => lock.assertHeld(), LockLostError)
})

test('time on the way to the server is not believed in', async () => {
  const script = new Script()
  const acquiring = script.holdfast.acquire('a')
  await script.welcome()
  script.clock.stall(4_000)
  await script.grant(7)
  const lock = await acquiring
  assert.equal(Math.floor(lock.validForMs()), 8_022)
})

test('a wait that the owner measured counts', async () => {
  const script = new Script()
  const acquiring = script.holdfast.acquire('a')
  await script.welcome()
  script.clock.stall(11_000)
  await script.grant(7, { waited_ms: 11_000 })
  assert.equal(Math.floor((await acquiring).validForMs()), 12_022 + 9_000 - 11_000)
})

test('a suspended machine has lost its locks when it wakes up', async () => {
  const { script, lock } = await holding()
  script.clock.suspend(20_000)
  assert.throws(() => lock.assertHeld(), { name: 'LockLostError', reason: 'expired' })
  assert.ok(lock.signal.aborted)
})

test('assertHeld sees a stall of the event loop before any timer has run', async () => {
  const { script, lock } = await holding()
  const { signal } = lock
  script.clock.stall(13_000)
  assert.equal(signal.aborted, false)
  assert.throws(() => lock.assertHeld(), LockLostError)
  assert.ok(signal.aborted)
})

test('assertHeld wants as much time as the effect takes', async () => {
  const { lock } = await holding()
  lock.assertHeld(12_000)
  assert.throws(() => lock.assertHeld(12_500), HeldTooShortlyError)
  assert.ok(lock.isHeld)
})

test('after a stall a frame in the socket hands nothing out that may have ended', async () => {
  const { script, lock } = await holding()
  const acquiring = script.holdfast.acquire('b')
  await turn()
  const asked = script.connection.last('acquire')
  script.clock.stall(13_000)
  await script.connection.say(script.granted({ id: asked.id, name: 'b', token: 8 }))
  assert.ok(lock.signal.aborted)
  assert.deepEqual(
    script.connection.received.filter(message => message.type === 'release').map(message => message.token),
    [7, 8],
  )
  // The line is joined again.
  const again = script.connection.last('acquire')
  assert.notEqual(again.id, asked.id)
  await script.grant(9)
  assert.equal((await acquiring).token, 9)
})

/** Of a hold of 5 s whose end was told 2 s after it was asked for. */
const endsInMs = 5_000
const wayMs = 2_000
const surelyMs = Math.floor(endBeliefMs({ endsInMs, ttlMs: 15_000 })) - wayMs

test('the end of a hold counts from the sending of what asked for the list that tells it', async () => {
  const { script, lock } = await holding()
  const adopting = script.holdfast.adopt('b')
  await turn()
  await script.clock.advance(wayMs)
  await script.renewed({ epoch: 1, grants: [{ ...wireGrant('a', 7, 1), ends_in_ms: endsInMs }] })
  assert.equal(await adopting, null)
  assert.equal(Math.floor(lock.validForMs()), surelyMs)
})

test('the end of what is taken up counts from the sending of what asked for the list', async () => {
  const { script } = await holding()
  const adopting = script.holdfast.adopt('gift')
  await turn()
  await script.clock.advance(wayMs)
  await script.renewed({
    epoch: 1,
    grants: [wireGrant('a', 7, 1), { ...wireGrant('gift', 10), ends_in_ms: endsInMs }],
  })
  const gift = await adopting
  assert.equal(Math.floor(gift?.validForMs() ?? 0), surelyMs)
})

test('the end of a hold counts from the greeting when the answer to it tells it', async () => {
  const { script, lock } = await holding()
  await script.connection.cut()
  await script.clock.advance(200)
  const grants = [{ ...wireGrant('a', 7, 1), ends_in_ms: endsInMs }]
  await script.welcome({ afterMs: wayMs, grants })
  assert.equal(Math.floor(lock.validForMs()), surelyMs)
})
