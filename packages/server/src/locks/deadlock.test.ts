/** Circles of those who wait for each other, of whom one is refused; and locks that are taken in two orders, which is said before it comes to that. */
import { strict as assert } from 'node:assert'
import { test } from 'node:test'
import {
  granted,
  grantsOf,
  queued,
  refused,
  release,
  releaseOf,
  told,
} from '../../../../test/simulation/core-replies.ts'
import { acquireOf, claimOf, World } from '../../../../test/simulation/core-world.ts'

import { CYCLE_STEPS_MAX, SEARCH_MAX } from './deadlock.ts'
import type { Report } from './model.ts'

const by = 'test'
const wait = { waitMs: null }

test('a deadlock is refused to the youngest of the lowest priority, with the cycle spelled out', () => {
  const world = new World()
  const [a, b] = [world.open(60_000, 'ann'), world.open(60_000, 'bob')]
  granted(world.do(acquireOf(a, ['x'])))
  granted(world.do(acquireOf(b, ['y'])))
  const ticket = queued(world.do(acquireOf(a, ['y'], wait)))
  const reply = world.do(acquireOf(b, ['x'], wait))
  assert(reply.ok === false && reply.code === 'deadlock')
  assert.deepEqual(reply.cycle, [
    { waiter: 'bob', task: '', lock: 'x', holder: 'ann' },
    { waiter: 'ann', task: '', lock: 'y', holder: 'bob' },
  ])
  assert.equal(told(world, ticket), null)
  const important = world.do(acquireOf(b, ['x'], { ...wait, priority: 1 }))
  queued(important)
  assert.equal(refused(told(world, ticket)), 'deadlock')
})

test('who stood behind a waiter that a deadlock has cost its place is served', () => {
  const world = new World()
  const [a, b, c] = [world.open(60_000), world.open(60_000), world.open(60_000)]
  granted(world.do(acquireOf(a, [claimOf('x', { mode: 'shared' })])))
  granted(world.do(acquireOf(b, ['y'])))
  const victim = queued(world.do(acquireOf(b, ['x'], wait)))
  const behind = queued(world.do(acquireOf(c, [claimOf('x', { mode: 'shared' })], wait)))
  queued(world.do(acquireOf(a, ['y'], { ...wait, priority: 5 })))
  assert.equal(refused(told(world, victim)), 'deadlock')
  granted(told(world, behind))
})

test('tasks of one session wait for each other without a deadlock; a task that waits for itself is one', () => {
  const world = new World()
  const a = world.open()
  granted(world.do(acquireOf(a, ['x'], { task: '1' })))
  queued(world.do(acquireOf(a, ['x'], { ...wait, task: '2' })))
  assert.equal(refused(world.do(acquireOf(a, ['x'], { ...wait, task: '1' }))), 'deadlock')
})

test('a contradictory lock order is reported even when nothing came of it', () => {
  const world = new World()
  const reports: unknown[] = []
  const take = (first: string, second: string) => {
    const session = world.open()
    const one = granted(world.do(acquireOf(session, [first])))
    const before = world.state.orders.young.size
    const two = granted(world.do(acquireOf(session, [second])))
    reports.push(world.state.orders.young.size - before, ...world.reports.splice(0).map(namesIn))
    world.do(release(two))
    world.do(release(one))
  }
  take('x', 'y')
  take('y', 'x')
  assert.deepEqual(reports, [1, 1, ['y', 'x']])
})

test('an order of two locks is remembered while four thousand others come, and forgotten in the end', () => {
  const world = new World({ isJudged: false })
  const session = world.open(10_000_000)
  const nested = (first: string, second: string) => {
    const outer = grantsOf(world.do(acquireOf(session, [first])))
    const inner = grantsOf(world.do(acquireOf(session, [second])))
    world.do(releaseOf(session, inner))
    world.do(releaseOf(session, outer))
  }
  const others = (count: number, from: number) => {
    for (let index = from; index < from + count; index++) nested(`outer-${index}`, `inner-${index}`)
  }
  nested('a', 'b')
  others(4_096, 0)
  nested('b', 'a')
  assert.deepEqual(world.reports.map(namesIn), [['b', 'a']], 'though a new book has been begun since')
  nested('c', 'd')
  others(2 * 4_096, 10_000)
  nested('d', 'c')
  assert.equal(world.reports.length, 1, 'what is so long ago is not kept')
  const { young, old } = world.state.orders
  assert.ok(young.size <= 4_096 && old.size <= 4_096, `${young.size} and ${old.size} orders`)
})

test('who holds sixteen locks at once does not nest them', () => {
  const world = new World()
  const [many, other] = [world.open(), world.open()]
  const names = Array.from({ length: 16 }, (_, index) => `n-${String(index).padStart(2, '0')}`)
  const held = names.flatMap(name => grantsOf(world.do(acquireOf(many, [name]))))
  grantsOf(world.do(acquireOf(many, ['last'])))
  world.do(releaseOf(many, held))
  const last = world.state.locks.get('last')?.grants ?? []
  assert.equal(last.length, 1)
  world.do({ type: 'release', by, session: many, grants: [{ lock: 'last', token: last[0]!.token }], request: null })
  grantsOf(world.do(acquireOf(other, ['last'])))
  grantsOf(world.do(acquireOf(other, ['n-00'])))
  assert.deepEqual(world.reports, [], 'the seventeenth was in no order with the others')
})

/** Each holds a lock and waits for the next one's, the last for the first's: whoever closes the circle is answered. */
function circle(size: number, readers = 1) {
  const world = new World({ isJudged: false })
  const holding = readers === 1 ? {} : { mode: 'shared' as const }
  const sessions = Array.from({ length: size }, (_, index) => {
    const all = Array.from({ length: readers }, () => world.open(1_000_000_000, `holder-${index}`))
    for (const session of all) grantsOf(world.do(acquireOf(session, [claimOf(`l-${index}`, holding)])))
    return all[0]!
  })
  return sessions
    .map((session, index) => world.do(acquireOf(session, [`l-${(index + 1) % size}`], { waitMs: null })))
    .at(-1)!
}

test('of a circle of more than CYCLE_STEPS_MAX the two ends are told, so that no line of waiters makes more than the log takes', () => {
  const cycleOf = (size: number) => {
    const reply = circle(size)
    assert(reply.ok === false && reply.code === 'deadlock')
    return reply.cycle.map(({ waiter, holder }) => `${waiter} ${holder}`)
  }
  const whole = cycleOf(CYCLE_STEPS_MAX)
  assert.equal(whole.length, CYCLE_STEPS_MAX)
  const ends = cycleOf(3_000)
  assert.equal(ends.length, CYCLE_STEPS_MAX)
  assert.deepEqual([ends[0], ends.at(-1)], ['holder-2999 holder-0', 'holder-2998 holder-2999'])
  assert.equal(ends[CYCLE_STEPS_MAX / 2 - 1], 'holder-14 holder-15')
})

test('beyond SEARCH_MAX nobody is told what is not known: the wait goes on', () => {
  const readers = 500
  const size = SEARCH_MAX / readers
  const few = circle(size / 4, readers)
  assert(few.ok === false && few.code === 'deadlock')
  assert.equal(circle(size + 1, readers).ok, 'queued')
})

/** Of an order of locks. */
function namesIn(report: Report): string[] {
  assert.equal(report.type, 'lock_order')
  return report.type === 'lock_order' ? [report.first, report.second] : []
}
