/** What clients saw against what the log has: of one lock, and of sets. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { Entry, Grant, Waiter } from '../../packages/server/src/locks/model.ts'
import { Histories } from './histories.ts'
import type { Claim, Deed } from './lock-model.ts'
import type { Written } from './log.ts'

const writer: Claim = { mode: 'exclusive', permits: 1, limit: 0 }
const reader: Claim = { mode: 'shared', permits: 1, limit: 0 }

/** Batch `place` was written at `place` times ten, with these entries. */
type Batches = Record<number, Entry[]>
type Told = [lock: string, calledMs: number, returnedMs: number, deed: Deed]

function judged(batches: Batches, told: Told[]) {
  const histories = new Histories()
  for (const [place, entries] of Object.entries(batches))
    for (const entry of entries) {
      const atMs = Number(place) * 10
      // What it does not look at is left out.
      histories.wrote({ entry, instance: 'i', place: Number(place) } as Written, { fromMs: atMs, toMs: atMs })
    }
  for (const [lock, calledMs, returnedMs, deed] of told) histories.of(lock, 'i').push({ deed, calledMs, returnedMs })
  const violations: string[] = []
  histories.judge(check => {
    try {
      check()
    } catch (error) {
      violations.push((error as Error).message) // a Violation
    }
  })
  return { violations, ...histories.counts }
}

const granted = (lock: string, token: number, claim: Claim): Entry => ({
  ...{ type: 'granted', record: 'grant', lock, token },
  value: { ...claim, slots: null, metadata: null } as unknown as Grant, // the rest is not looked at
})
const ended = (lock: string, token: number, type: 'released' | 'expired' | 'transferred'): Entry => ({
  ...{ type, record: 'grant', lock, token, value: null },
})
const queued = (lock: string, ticket: number, operation: number): Entry => ({
  ...{ type: 'queued', record: 'wait', ticket, locks: [lock] },
  value: { metadata: { operation } } as unknown as Waiter, // the rest is not looked at
})
const refused = (by: number, set?: number): Deed => ({
  ...{ does: 'refuse', claim: writer, why: null, by },
  ...(set !== undefined && { set }),
})
const has = (token: number, set?: number): Deed => ({
  ...{ does: 'acquire', token, claim: writer },
  ...(set !== undefined && { set }),
})

test('what fits into the order of the log needs no search', () => {
  const batches = { 1: [granted('a', 1, reader)], 2: [granted('a', 2, reader)], 3: [ended('a', 1, 'expired')] }
  const told: Told[] = [
    ['a', 5, 12, { does: 'acquire', token: 1, claim: reader }],
    ['a', 15, 25, { does: 'acquire', token: 2, claim: reader }],
    ['a', 13, 14, refused(8)],
    ['a', 20, 40, { does: 'miss', token: 1 }],
  ]
  assert.deepEqual(judged(batches, told), { violations: [], operations: 4, searched: 0, states: 0, undecided: 0 })
})

test('what a client was told before the log had it is searched for, and is no violation by itself', () => {
  const { violations, searched } = judged({ 3: [granted('a', 1, writer)] }, [['a', 5, 20, has(1)]])
  assert.deepEqual({ violations, searched }, { violations: [], searched: 1 })
})

test('an end that is in the log excuses no refusal after it', () => {
  const batches = { 1: [granted('a', 1, writer)], 2: [ended('a', 1, 'expired')] }
  assert.deepEqual(judged(batches, [['a', 15, 30, refused(8)]]).violations, [])
  assert.match(judged(batches, [['a', 21, 30, refused(8)]]).violations.join(), /I12: no order explains .* i a/)
})

test('nobody is refused for being in line himself; whoever waits for a set is in line for each of it', () => {
  const batches = { 1: [queued('a', 1, 8)] }
  assert.equal(judged(batches, [['a', 15, 30, refused(8)]]).violations.length, 1)
  assert.deepEqual(judged(batches, [['a', 15, 30, refused(9)]]).violations, [])
})

test('what was handed on is held under its new token by nobody else', () => {
  const batches = { 1: [granted('a', 1, writer)], 2: [ended('a', 1, 'transferred'), granted('a', 2, writer)] }
  const handed: Told = ['a', 15, 25, { does: 'transfer', token: 1, to: 2 }]
  assert.deepEqual(judged(batches, [['a', 5, 11, has(1)], handed]).violations, [])
  assert.equal(judged(batches, [handed, ['a', 22, 23, { does: 'see', held: 1 }]]).violations.length, 1)
})

test('a grant that was told in another mode than it was made in is found', () => {
  const told: Told[] = [
    ['a', 5, 11, { does: 'acquire', token: 1, claim: reader }],
    ['a', 12, 13, { does: 'see', held: 1 }],
  ]
  assert.equal(judged({ 1: [granted('a', 1, writer)] }, told).violations.length, 1)
})

test('a set is granted at one moment', () => {
  const told: Told[] = [
    ['a', 5, 30, has(1, 8)],
    ['b', 5, 30, has(2, 8)],
  ]
  assert.deepEqual(judged({ 1: [granted('a', 1, writer), granted('b', 2, writer)] }, told).violations, [])
  const { violations } = judged({ 1: [granted('a', 1, writer)], 2: [granted('b', 2, writer)] }, told)
  assert.match(violations.join(), /I14: set 8/)
})

test('a set is refused when one of it is not to be had', () => {
  const batches = { 1: [granted('b', 1, reader)], 3: [ended('b', 1, 'released')] }
  const told = (calledMs: number, returnedMs: number): Told[] => [
    ['a', calledMs, returnedMs, refused(8, 8)],
    ['b', calledMs, returnedMs, refused(8, 8)],
  ]
  assert.deepEqual(judged(batches, told(15, 20)).violations, [])
  assert.match(judged(batches, told(35, 40)).violations.join(), /I12: set 8 was refused/)
})
