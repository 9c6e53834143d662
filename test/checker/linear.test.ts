/** The search for an order, against one that tries all orders; the order of the log, against all ways to pass through it. `TEST_SEED=n TEST_RUNS=m` tries m histories from n on. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { type Chance, chanceOf } from '../simulator/chance.ts'
import { type Change, judgeHistory, type Operation } from './linear.ts'
import type { Claim, Deed } from './lock-model.ts'
import { changeOf } from './witness.ts'

const FIRST_SEED = Number(process.env.TEST_SEED ?? 1)
const RUNS = Number(process.env.TEST_RUNS ?? 3_000)
/** More take too long to try in all orders. */
const OPERATIONS_MAX = 6

const writer: Claim = { mode: 'exclusive', permits: 1, limit: 0 }
const reader: Claim = { mode: 'shared', permits: 1, limit: 0 }
const permits = (count: number, limit = 3): Claim => ({ mode: 'permits', permits: count, limit })

type Lock = {
  /** What is taken, by token; `*` before those that are kept. */
  taken: Record<string, Claim>
  line: number[]
  last: number
  value: string | null
  limit: number | null
}
const free: Lock = { taken: {}, line: [], last: 0, value: null, limit: null }

/** The rules of a lock once more, so that a mistake of the model's does not hide here. */
function after(lock: Lock, deed: Deed): Lock | null {
  const { taken, line, last } = lock
  const { [`${'token' in deed ? deed.token : ''}`]: own, ...others } = taken
  const holders = Object.keys(taken).filter(key => !key.startsWith('*'))
  switch (deed.does) {
    case 'acquire': {
      const claim = deed.claim ?? writer
      if (deed.token <= last || isInTheWay(lock, claim)) return null
      return { ...lock, taken: { ...taken, [deed.token]: claim }, last: deed.token + claim.permits - 1 }
    }
    case 'leave':
      return deed.token > last ? null : own ? { ...lock, taken: others } : lock
    case 'transfer':
      if (!own || deed.to <= last) return null
      return { ...lock, taken: { ...others, [deed.to]: own }, last: deed.to + own.permits - 1 }
    case 'write':
      return own || deed.token === null ? { ...lock, value: deed.value } : null
    case 'miss':
      return own ? null : lock
    case 'read':
      return deed.value === lock.value ? lock : null
    case 'see':
      return (deed.held === null ? holders.length === 0 : `${deed.held}` in taken) ? lock : null
    case 'refuse': {
      const isFirst = line.every(one => one === deed.by && deed.by !== null)
      if (!isInTheWay(lock, deed.claim) && isFirst) return null
      const why = holders.length > 0 ? 'held' : Object.keys(taken).length > 0 ? 'delayed' : 'queued'
      return deed.why === null || deed.why === why ? lock : null
    }
    case 'keep':
      if (own || `*${deed.token}` in taken) return null
      return { ...lock, taken: { ...taken, [`*${deed.token}`]: deed.claim } }
    case 'free': {
      const { [`*${deed.token}`]: kept, ...left } = taken
      return kept ? { ...lock, taken: left } : null
    }
    case 'queue':
      return line.includes(deed.ticket) ? null : { ...lock, line: [...line, deed.ticket] }
    case 'unqueue':
      return line.includes(deed.ticket) ? { ...lock, line: line.filter(one => one !== deed.ticket) } : null
    case 'limit':
      return { ...lock, limit: deed.limit }
    case 'nothing':
      return lock
  }
}

function isInTheWay({ taken, limit }: Lock, claim: Claim): boolean {
  const others = Object.values(taken)
  if (claim.mode === 'exclusive') return others.length > 0
  if (claim.mode === 'shared') return others.some(({ mode }) => mode !== 'shared')
  const sum = others.reduce((count, other) => count + other.permits, claim.permits)
  const [held] = Object.entries(taken).sort(
    ([one], [other]) => Number(one.startsWith('*')) - Number(other.startsWith('*')),
  )
  return sum > (limit ?? held?.[1].limit ?? claim.limit)
}

/** Whether some order explains them. `order`: what changes the lock does so in this order. */
function isExplained(operations: readonly Operation[], lock = free, order: readonly Deed[] | null = null): boolean {
  if (operations.every(({ isOptional }) => isOptional)) return true
  const soonest = Math.min(...operations.filter(({ isOptional }) => !isOptional).map(({ returnedMs }) => returnedMs))
  return operations.some((operation, place) => {
    const { deed, calledMs } = operation
    if (calledMs > soonest) return false
    const next = after(lock, deed)
    const isNext = order !== null && order[0] === deed
    if (!next || (order?.includes(deed) && !isNext)) return false
    return isExplained(operations.toSpliced(place, 1), next, isNext ? order.slice(1) : order)
  })
}

/** What clients of a lock may have seen; in half of the histories something is put where it was not. */
function historyOf(chance: Chance): Operation[] {
  let lock = free
  let nowMs = 0
  const operations: Operation[] = []
  const overlapMs = chance.pick([1, 4, 12])
  const kinds = chance.pick([[writer], [writer, reader, reader], [permits(1), permits(2)]])
  for (let tries = 0; operations.length < OPERATIONS_MAX && tries < 40; tries++) {
    nowMs += chance.between(0, 3)
    const deed = deedOf(chance, lock, kinds)
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
    else if ('token' in one.deed && one.deed.token !== null)
      one.deed = { ...one.deed, token: Math.max(1, one.deed.token + chance.pick([-1, 1])) }
  }
  return operations
}

function deedOf(chance: Chance, { taken, line, last, value }: Lock, kinds: readonly Claim[]): Deed {
  const token = Number(chance.pick([...Object.keys(taken).filter(key => !key.startsWith('*')), '0']))
  const claim = chance.pick(kinds)
  const ticket = chance.below(2) + 1
  const deeds: Deed[] = [
    { does: 'acquire', token: last + 1 + chance.below(2), claim },
    { does: 'acquire', token: last + 1, claim },
    { does: 'leave', token: token || last },
    { does: 'miss', token: last },
    { does: 'transfer', token, to: last + 1 + chance.below(2) },
    { does: 'write', token, value: chance.pick(['a', 'b']) },
    { does: 'read', value },
    { does: 'see', held: token === 0 ? null : token },
    { does: 'refuse', claim, why: chance.pick([null, 'held', 'delayed', 'queued']), by: chance.pick([null, 1, 2]) },
    line.includes(ticket) ? { does: 'unqueue', ticket } : { does: 'queue', ticket, by: ticket },
    chance.below(2) === 0 ? { does: 'keep', token: Math.max(1, last), claim } : { does: 'free', token: last },
    ...(claim.mode === 'permits' ? [{ does: 'limit' as const, limit: chance.pick([1, 2, 4]) }] : []),
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

/** The same with the log: what changed the lock, in its order, with as much time for each as is known. */
function loggedOf(chance: Chance): { told: Operation[]; changes: Change[] } {
  const all = historyOf(chance)
  const isChange = ({ deed }: Operation) => !['see', 'miss', 'read', 'refuse', 'nothing'].includes(deed.does)
  const changes = all.filter(isChange).map(({ deed, calledMs, returnedMs }) => {
    const isExact = chance.below(2) === 0
    const toMs = Math.min(returnedMs, calledMs + chance.between(0, 8))
    return { deed, fromMs: isExact ? toMs : calledMs - 1, toMs: isExact ? toMs : toMs + 1, batch: 0 }
  })
  const told = all.filter(operation => !isChange(operation) || (changeOf(operation.deed) && chance.below(3) > 0))
  return { told: told.filter(({ isOptional }) => !isOptional), changes }
}

test('the order of the log explains what some way through it explains, and then some order does', () => {
  const counts = { byLog: 0, searched: 0, refused: 0 }
  for (let seed = FIRST_SEED; seed < FIRST_SEED + RUNS; seed++) {
    const { told, changes } = loggedOf(chanceOf(seed, 'logged'))
    const operations = changes.map(({ deed, fromMs, toMs }) => {
      const own = told.find(operation => operation.deed === deed)
      const [calledMs, returnedMs] = own ? [own.calledMs, own.returnedMs] : [fromMs, toMs]
      return { deed, calledMs: Math.max(calledMs, fromMs), returnedMs: Math.min(returnedMs, toMs) }
    })
    const isPossible = operations.every(({ calledMs, returnedMs }) => calledMs <= returnedMs)
    const seen = told.filter(({ deed }) => !changes.some(change => change.deed === deed))
    const order = changes.map(({ deed }) => deed)
    const expected = isPossible && isExplained([...operations, ...seen], free, order)
    const what = `seed ${seed}: ${JSON.stringify({ told, changes })}`
    const verdict = judgeHistory(told, changes)
    if (expected) assert.deepEqual(verdict, { ok: true, states: 0, isByLog: true }, what)
    else if (verdict.ok) assert.equal(verdict.isByLog, false, what)
    counts[expected ? 'byLog' : verdict.ok ? 'searched' : 'refused']++
  }
  assert.ok(Math.min(...Object.values(counts)) > RUNS / 50, `nothing has been shown: ${JSON.stringify(counts)}`)
})

const at = (calledMs: number, returnedMs: number, deed: Deed): Operation => ({ deed, calledMs, returnedMs })
const unknown = (calledMs: number, deed: Deed): Operation => ({
  ...at(calledMs, Number.POSITIVE_INFINITY, deed),
  isOptional: true,
})
const acquire = (token: number, claim: Claim): Deed => ({ does: 'acquire', token, claim })
const leave = (token: number): Deed => ({ does: 'leave', token })
const held = (token: number): Deed => ({ does: 'see', held: token })
const refuse = (claim: Claim): Deed => ({ does: 'refuse', claim, why: null, by: 1 })

/** The last operation of each is what no order explains. */
const spoilt: Record<string, Operation[]> = {
  'two writers at once': [
    at(0, 1, acquire(1, writer)),
    at(2, 3, acquire(2, writer)),
    at(4, 5, held(2)),
    at(4, 5, held(1)),
  ],
  'a reader beside a writer': [at(0, 1, acquire(1, writer)), at(2, 3, acquire(2, reader)), at(4, 5, held(1))],
  'a writer beside a reader': [
    at(0, 1, acquire(1, reader)),
    at(0, 1, acquire(2, reader)),
    at(2, 3, leave(1)),
    at(4, 5, acquire(3, writer)),
    at(6, 7, leave(2)),
  ],
  'one permit too many': [at(0, 1, acquire(1, permits(2))), at(2, 3, acquire(3, permits(2))), at(4, 5, leave(1))],
  'one permit too many, since the limit is lower': [
    at(0, 1, acquire(1, permits(2))),
    at(2, 3, { does: 'limit', limit: 2 }),
    at(4, 5, acquire(3, permits(1))),
    at(6, 7, held(1)),
  ],
  'a reader who is refused beside a reader': [at(0, 1, acquire(1, reader)), at(2, 3, refuse(reader))],
  'a writer who is refused after the last reader has left': [
    at(0, 1, acquire(1, reader)),
    at(2, 3, leave(1)),
    at(4, 5, refuse(writer)),
  ],
  'permits that are refused though there is room': [at(0, 1, acquire(1, permits(2))), at(2, 3, refuse(permits(1)))],
  'one who is refused for nobody but himself in line': [
    at(0, 1, { does: 'queue', ticket: 7, by: 1 }),
    at(2, 3, refuse(writer)),
  ],
  'one who is refused for a reader who has gone out of line': [
    at(0, 1, { does: 'queue', ticket: 7, by: 2 }),
    at(2, 3, { does: 'unqueue', ticket: 7 }),
    at(4, 5, refuse(writer)),
  ],
  'refused as held, and it is only kept free': [
    at(0, 1, acquire(1, writer)),
    at(2, 3, leave(1)),
    at(2, 3, { does: 'keep', token: 1, claim: writer }),
    at(4, 5, { ...refuse(writer), why: 'held' } as Deed),
  ],
  'a grant under a token of the past': [at(0, 1, acquire(5, reader)), at(2, 3, acquire(4, reader))],
  'a grant under the second number of two permits': [
    at(0, 1, acquire(1, permits(2))),
    at(2, 3, acquire(2, permits(1))),
  ],
  'a release that is lost': [
    at(0, 1, acquire(1, reader)),
    at(0, 1, acquire(2, reader)),
    at(2, 3, leave(1)),
    at(4, 5, held(1)),
  ],
  'a hand-over that both keep': [
    at(0, 1, acquire(1, permits(1))),
    at(2, 3, { does: 'transfer', token: 1, to: 2 }),
    at(4, 5, held(1)),
  ],
  'a lock that is seen free between two looks of one who validates it': [
    at(0, 1, acquire(1, writer)),
    at(2, 3, { does: 'see', held: null }),
    at(4, 5, held(1)),
  ],
}

for (const [what, operations] of Object.entries(spoilt))
  test(`no order explains ${what}`, () => {
    const verdict = judgeHistory(operations)
    assert.equal(verdict.ok, false)
  })

const valid: Record<string, Operation[]> = {
  'readers beside each other, and a writer after them': [
    at(0, 1, acquire(1, reader)),
    at(2, 3, acquire(2, reader)),
    at(4, 5, refuse(writer)),
    at(4, 9, leave(1)),
    at(6, 7, leave(2)),
    at(8, 12, acquire(3, writer)),
  ],
  'a reader who is refused past a writer in line': [
    at(0, 1, acquire(1, reader)),
    at(2, 3, { does: 'queue', ticket: 2, by: 2 }),
    at(4, 5, refuse(reader)),
  ],
  'a refusal for a grant that nobody knows to have been': [unknown(0, acquire(1, writer)), at(5, 6, refuse(reader))],
  'a grant beside one that nobody knows to have been': [
    unknown(0, acquire(1, writer)),
    at(5, 6, acquire(2, permits(2))),
  ],
  'permits up to the limit, and more once one has been given back': [
    at(0, 1, acquire(1, permits(2))),
    at(2, 3, acquire(3, permits(1))),
    at(4, 5, refuse(permits(1))),
    at(6, 10, leave(1)),
    at(7, 8, acquire(4, permits(2))),
  ],
  'a hand-over of more than a lowered limit': [
    at(0, 1, acquire(1, permits(2))),
    at(2, 3, { does: 'limit', limit: 1 }),
    at(4, 5, { does: 'transfer', token: 1, to: 3 }),
    at(6, 7, held(3)),
  ],
  'a write of unknown outcome that was read': [
    at(0, 1, acquire(1, writer)),
    unknown(2, { does: 'write', token: 1, value: 'a' }),
    at(4, 5, { does: 'read', value: null }),
    at(6, 7, { does: 'read', value: 'a' }),
  ],
}

for (const [what, operations] of Object.entries(valid))
  test(`some order explains ${what}`, () => {
    assert.equal(judgeHistory(operations).ok, true)
  })

test('hundreds of clients at once, most of whom were never told, are no work to speak of', () => {
  const operations: Operation[] = []
  for (let token = 1; token <= 400; token++) {
    const isOptional = token % 3 === 0
    const returnedMs = isOptional ? Number.POSITIVE_INFINITY : token + 100
    operations.push({ deed: { does: 'acquire', token }, calledMs: token, returnedMs, isOptional })
    operations.push({ deed: { does: 'read', value: null }, calledMs: token, returnedMs: token + 200 })
    if (!isOptional) operations.push({ deed: leave(token), calledMs: token + 100, returnedMs: token + 150 })
  }
  const verdict = judgeHistory(operations)
  assert.ok(verdict.ok)
  assert.ok(verdict.states < 2_000, `${verdict.states} states`)
})
