/** The search for an order, against one that tries all orders; and histories that no order explains. `TEST_SEED=n TEST_RUNS=m` tries m histories from n on. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { type Chance, chanceOf } from '../simulator/chance.ts'
import { type Deed, judgeHistory, type Operation } from './linear.ts'

const FIRST_SEED = Number(process.env.TEST_SEED ?? 1)
const RUNS = Number(process.env.TEST_RUNS ?? 3_000)
/** More take too long to try in all orders. */
const OPERATIONS_MAX = 6

type Lock = { token: number; last: number; value: string | null }

/** Whether some order of the operations explains the history, with grants that may end by themselves at any time. */
function isExplained(operations: readonly Operation[], lock: Lock = { token: 0, last: 0, value: null }): boolean {
  if (operations.every(({ isOptional }) => isOptional)) return true
  if (lock.token !== 0 && isExplained(operations, { ...lock, token: 0 })) return true
  const soonest = Math.min(...operations.filter(({ isOptional }) => !isOptional).map(({ returnedMs }) => returnedMs))
  return operations.some((operation, place) => {
    if (operation.calledMs > soonest) return false
    const next = after(lock, operation.deed)
    return next !== null && isExplained(operations.toSpliced(place, 1), next)
  })
}

/** The rules of a lock once more, so that a mistake of the search's does not hide here. */
function after(lock: Lock, deed: Deed): Lock | null {
  const { token, last } = lock
  const holds = 'token' in deed && deed.token === token
  if (deed.does === 'acquire')
    return token === 0 && deed.token > last ? { ...lock, token: deed.token, last: deed.token } : null
  if (deed.does === 'release') return holds ? { ...lock, token: 0 } : null
  if (deed.does === 'leave') return holds ? { ...lock, token: 0 } : lock
  if (deed.does === 'transfer') return holds && deed.to > last ? { ...lock, token: deed.to, last: deed.to } : null
  if (deed.does === 'write') return holds ? { ...lock, value: deed.value } : null
  if (deed.does === 'miss') return holds ? null : lock
  if (deed.does === 'read') return deed.value === lock.value ? lock : null
  if (deed.does === 'nothing') return lock
  return (deed.held === 'somebody' ? token !== 0 : token === (deed.held ?? 0)) ? lock : null
}

/** What clients of a lock may have seen; in half of the histories something is put where it was not. */
function historyOf(chance: Chance): Operation[] {
  let lock: Lock = { token: 0, last: 0, value: null }
  let nowMs = 0
  const operations: Operation[] = []
  const overlapMs = chance.pick([1, 4, 12])
  for (let tries = 0; operations.length < OPERATIONS_MAX && tries < 30; tries++) {
    nowMs += chance.between(0, 3)
    if (chance.isLuckyAt(0.15)) lock = { ...lock, token: 0 }
    const deed = deedOf(chance, lock)
    const next = after(lock, deed)
    if (!next) continue
    lock = next
    const isOptional = (deed.does === 'acquire' || deed.does === 'write') && chance.isLuckyAt(0.2)
    const returnedMs = isOptional ? Number.POSITIVE_INFINITY : nowMs + chance.between(0, overlapMs)
    operations.push({ deed, calledMs: nowMs - chance.between(0, overlapMs), returnedMs, isOptional })
  }
  for (let spoilt = chance.pick([0, 0, 1, 2]); spoilt > 0; spoilt--) {
    const [one, other] = [chance.pick(operations), chance.pick(operations)]
    if (chance.below(2) === 0) [one.deed, other.deed] = [other.deed, one.deed]
    else if ('token' in one.deed) one.deed = { ...one.deed, token: Math.max(1, one.deed.token + chance.pick([-1, 1])) }
  }
  return operations
}

function deedOf(chance: Chance, { token, last, value }: Lock): Deed {
  const deeds: Deed[] = [
    { does: 'acquire', token: last + 1 + chance.below(2) },
    { does: 'leave', token: last },
    { does: 'miss', token: last },
    { does: 'transfer', token, to: last + 1 + chance.below(2) },
    { does: 'write', token, value: chance.pick(['a', 'b']) },
    { does: 'read', value },
    { does: 'see', held: token === 0 ? null : chance.pick([token, 'somebody' as const]) },
  ]
  return chance.pick(deeds)
}

test('it says what trying all orders says', () => {
  const counts = { explained: 0, refused: 0 }
  for (let seed = FIRST_SEED; seed < FIRST_SEED + RUNS; seed++) {
    const operations = historyOf(chanceOf(seed, 'history'))
    const expected = isExplained(operations)
    const verdict = judgeHistory(operations)
    assert.equal(verdict.ok, expected, `seed ${seed}: ${JSON.stringify(operations)}`)
    counts[expected ? 'explained' : 'refused']++
  }
  assert.ok(Math.min(counts.explained, counts.refused) > RUNS / 20, `nothing has been shown: ${JSON.stringify(counts)}`)
})

const at = (calledMs: number, returnedMs: number, deed: Deed): Operation => ({ deed, calledMs, returnedMs })

test('a lock that is seen free between two looks of one who validates it was not held throughout', () => {
  const held = [
    at(0, 1, { does: 'acquire', token: 1 }),
    at(2, 3, { does: 'see', held: null }),
    at(4, 5, { does: 'see', held: 1 }),
  ]
  const verdict = judgeHistory(held)
  assert.equal(verdict.ok, false)
  assert.equal(verdict.ok === false && verdict.at, held[2])
})

test('hundreds of clients at once, most of whom were never told, are no work to speak of', () => {
  const operations: Operation[] = []
  for (let token = 1; token <= 400; token++) {
    const isOptional = token % 3 === 0
    const returnedMs = isOptional ? Number.POSITIVE_INFINITY : token + 100
    operations.push({ deed: { does: 'acquire', token }, calledMs: token, returnedMs, isOptional })
    operations.push({ deed: { does: 'read', value: null }, calledMs: token, returnedMs: token + 200 })
    if (!isOptional) operations.push({ deed: { does: 'leave', token }, calledMs: token + 100, returnedMs: token + 150 })
  }
  const verdict = judgeHistory(operations)
  assert.ok(verdict.ok)
  assert.ok(verdict.states < 2_000, `${verdict.states} states`)
})
