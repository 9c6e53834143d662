import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { Clock } from '../../clock.ts'
import { conformance } from '../conformance.ts'
import { EngineRefusal } from '../engine.ts'
import { openMemory } from './memory.ts'
import { MemoryStore } from './store.ts'

conformance('memory', async () => {
  const store = new MemoryStore()
  return { open: async () => openMemory({ store }) }
})

const value = new Uint8Array([1])

/** Time that passes only when told to. */
function handClock(): Clock & { pass(ms: number): void } {
  let nowMs = 0
  const waiting: { dueMs: number; callback: () => void }[] = []
  return {
    hrtimeMs: () => nowMs,
    bootMs: () => nowMs,
    wallMs: () => nowMs,
    after: (delayMs, callback) => {
      waiting.push({ dueMs: nowMs + delayMs, callback })
      return () => undefined
    },
    afterPoll: callback => queueMicrotask(callback),
    pass(ms) {
      nowMs += ms
      for (const { callback } of waiting.splice(0).filter(({ dueMs }) => dueMs <= nowMs)) callback()
    },
  }
}

test('a lost reply leaves the commit applied, a commit lost before does not', async () => {
  const clock = handClock()
  const lossy = openMemory({ faults: { plan: { seed: 1, rates: { replyLost: 1 } }, clock } })
  await assert.rejects(lossy.commit({ checks: [], writes: [{ key: 'a', value }] }), /reply/)
  assert.ok(lossy.store.get('a'))
  const before = openMemory({ faults: { plan: { seed: 1, rates: { lostBefore: 1 } }, clock } })
  await assert.rejects(before.commit({ checks: [], writes: [{ key: 'a', value }] }), /lost before/)
  assert.equal(before.store.get('a'), null)
  assert.equal(before.faults?.lostBefore, 1)
})

test('a late duplicate is applied again, later', async () => {
  const clock = handClock()
  const engine = openMemory({ faults: { plan: { seed: 3, rates: { lateDuplicate: 1 }, duplicateMsMax: 100 }, clock } })
  await engine.commit({ checks: [{ key: 'a', modRevision: 0 }], writes: [{ key: 'a', value }] })
  engine.store.commit({ checks: [], writes: [{ key: 'a', delete: true }] })
  clock.pass(101)
  await null
  assert.ok(engine.store.get('a'), 'absence alone is no fence')
})

test('a definite refusal is told as one', async () => {
  const engine = openMemory({ faults: { plan: { seed: 1, rates: { refused: 1 } }, clock: handClock() } })
  await assert.rejects(engine.commit({ checks: [], writes: [{ key: 'a', value }] }), EngineRefusal)
})

test('a stale read shows an earlier state under its own revision', async () => {
  const plan = { seed: 5, rates: { stale: 1 }, staleCommitsMax: 1 }
  const engine = openMemory({ faults: { plan, clock: handClock() } })
  await engine.commit({ checks: [], writes: [{ key: 'a', value: new Uint8Array([1]) }] })
  const revision = engine.store.revision
  await engine.commit({ checks: [], writes: [{ key: 'a', value: new Uint8Array([2]) }] })
  const listing = await engine.list({ prefix: 'a', limit: 10 })
  assert.equal(listing.revision, revision)
  assert.equal(listing.pairs[0]?.value[0], 1)
})

test('the same seed gives the same faults', async () => {
  const run = async () => {
    const plan = { seed: 42, rates: { replyLost: 0.3, lostBefore: 0.3, refused: 0.2 } }
    const engine = openMemory({ faults: { plan, clock: handClock() } })
    const outcomes: string[] = []
    for (let turn = 0; turn < 50; turn++) {
      const outcome = engine.commit({ checks: [], writes: [{ key: 'a', value }] })
      outcomes.push(
        await outcome.then(
          () => 'passed',
          (error: Error) => error.message,
        ),
      )
    }
    return outcomes
  }
  const first = await run()
  assert.deepEqual(await run(), first)
  assert.equal(new Set(first).size, 4)
})
