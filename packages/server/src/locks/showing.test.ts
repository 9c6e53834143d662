/** What is shown of locks, lines and what is due: to people, to whoever was refused, and to an owner that has just read the log. */
import { strict as assert } from 'node:assert'
import { test } from 'node:test'
import { LABELS_MAX } from '@holdfast/protocol/limits'
import { grantsOf, isGranted, queued } from '../../../../test/simulation/core-replies.ts'
import { acquireOf, claimOf, World } from '../../../../test/simulation/core-world.ts'
import type { Command, Held, LockView, WaiterView } from './model.ts'
import { wakeups } from './wakeups.ts'

const by = 'test'
const wait = { waitMs: null }
const shared = (lock: string) => claimOf(lock, { mode: 'shared' })

const lockOf = (world: World, lock: string): LockView => {
  const reply = world.do({ type: 'show', by, lock })
  assert(reply.ok === true && reply.type === 'lock')
  return reply.lock
}

const lineOf = (world: World, lock: string): WaiterView[] => {
  const reply = world.do({ type: 'queue', by, lock })
  assert(reply.ok === true && reply.type === 'queue')
  return reply.waiters
}

const freeze = (prefix: string): Command => ({ type: 'freeze', by, prefix, untilAt: 9e12, reason: 'r' })

/** Held for a while, then kept free after its holder has gone silent. */
const delayed = (world: World, lock: string) => {
  grantsOf(world.do(acquireOf(world.open(1_000), [claimOf(lock, { lockDelayMs: 60_000 })])))
  world.pass(1_100)
}

test('a lock is held before it is frozen, frozen before it is kept free, and that before it is free', () => {
  const world = new World()
  const a = world.open(1_000_000)
  const state = (lock: string) => lockOf(world, lock).state
  delayed(world, 'delayed')
  assert.equal(state('delayed'), 'delayed')
  world.do(freeze('delayed'))
  assert.equal(state('delayed'), 'frozen')
  grantsOf(world.do(acquireOf(a, ['held'])))
  assert.equal(state('held'), 'held')
  world.do(freeze('held'))
  assert.equal(state('held'), 'held')
  world.do({ type: 'configure', by, lock: 'free', fields: {}, replaces: true, ifVersion: null })
  assert.equal(state('free'), 'free')
  assert.equal(lockOf(world, 'free').delayedMs, null)
  world.do({ type: 'thaw', by, prefix: 'delayed' })
  assert.equal(state('delayed'), 'delayed')
})

test('a line shows how each of it wants the lock that was asked about, and its place there', () => {
  const world = new World()
  const [a, b, c] = [world.open(), world.open(), world.open()]
  grantsOf(world.do(acquireOf(a, ['x', 'y'])))
  queued(world.do(acquireOf(b, ['y'], wait)))
  const claims = ['x', shared('y'), claimOf('z', { mode: 'permits', permits: 2, limit: 3 })]
  const set = world.do(acquireOf(c, claims, wait))
  assert(set.ok === 'queued')
  assert.equal(set.position, 2, 'the worst of its places')
  const told = (lock: string) => lineOf(world, lock).map(({ mode, permits, position }) => [mode, permits, position])
  assert.deepEqual(told('x'), [['exclusive', 1, 1]])
  assert.deepEqual(told('y'), [
    ['exclusive', 1, 1],
    ['shared', 1, 2],
  ])
  assert.deepEqual(told('z'), [['permits', 2, 1]])
  assert.deepEqual(lineOf(world, 'z')[0]?.locks, ['x', 'y', 'z'])
})

test('of several locks the one that is held is named, else the one that is kept free, else the one with a line', () => {
  const world = new World()
  const [a, b, c] = [world.open(1_000_000), world.open(1_000_000), world.open(1_000_000)]
  delayed(world, 'delayed')
  // A line before what nobody holds: its first waits for another lock as well.
  grantsOf(world.do(acquireOf(a, ['held'])))
  queued(world.do(acquireOf(b, ['held', 'waited'], wait)))
  const told = (...locks: string[]): [string, Held['lock']] => {
    const reply = world.do(acquireOf(c, locks))
    assert(reply.ok === false && reply.code === 'lock_held' && reply.held)
    return [reply.reason, reply.held.lock]
  }
  assert.deepEqual(told('waited'), ['queued', 'waited'])
  assert.deepEqual(told('waited', 'delayed'), ['delayed', 'delayed'])
  assert.deepEqual(told('delayed', 'waited'), ['delayed', 'delayed'])
  assert.deepEqual(told('waited', 'delayed', 'held'), ['held', 'held'])
  assert.deepEqual(told('free', 'waited'), ['queued', 'waited'])
})

test('who takes back what it was granted serves whoever waits for it', () => {
  const world = new World()
  const [a, b] = [world.open(), world.open()]
  grantsOf(world.do(acquireOf(a, ['x'], { request: 1 })))
  const next = queued(world.do(acquireOf(b, ['x'], wait)))
  world.do({ type: 'cancel', by, session: a, cancels: 1, request: null })
  assert.ok(isGranted(world, next))
})

test('who preempts somebody whose last promise is just over has the lock at once, and so has whoever waits when an operator does', () => {
  const world = new World({ isJudged: false })
  const late = world.open(10_000)
  grantsOf(world.do(acquireOf(late, ['x'])))
  grantsOf(world.do(acquireOf(late, ['y'])))
  // Nobody has looked yet whether it is over.
  world.now += 10_000
  const b = world.open()
  const [x] = grantsOf(world.do(acquireOf(b, ['x'], { ...wait, priority: 5, preempt: 'immediate' })))
  assert.equal(x?.session, b)
  const waiting = queued(world.do(acquireOf(b, ['y'], wait)))
  world.do({ type: 'preempt', by, lock: 'y', token: null, reason: 'r', graceMs: 0 })
  assert.ok(isGranted(world, waiting))
})

test('an owner that has just read the log finds due what was due before', () => {
  const world = new World()
  const a = world.open(1_000_000)
  delayed(world, 'delayed')
  grantsOf(world.do(acquireOf(a, [claimOf('held', { maxHoldMs: 500_000 })])))
  grantsOf(world.do(acquireOf(a, ['plain'])))
  world.do({ type: 'preempt', by, lock: 'plain', token: null, reason: 'r', graceMs: 5_000 })
  const bounded = queued(world.do(acquireOf(world.open(1_000_000), ['held'], { waitMs: 70_000 })))
  queued(world.do(acquireOf(world.open(1_000_000), ['held'], wait)))
  const key = { ttlMs: 2_000_000, defaultTtlMs: 30_000, holder: 'cron', key: { key: 'k', digest: 'd' } }
  grantsOf(world.do(acquireOf(key, ['keyed'])))
  const told = [...wakeups(world.state)]
  const text = (one: object) => JSON.stringify(one)
  const before = new Set(world.due.map(text))
  for (const one of told) assert.ok(before.has(text(one)), `${text(one)} was never due`)
  const types = told.map(({ command }) => command.type).sort()
  assert.deepEqual(types, ['end_delay', 'end_hold', 'end_hold', 'end_wait', 'forget_key', 'warn_hold'])
  const ends = told.find(({ command }) => command.type === 'end_wait')
  assert.equal(ends?.command.type === 'end_wait' && ends.command.ticket, bounded, 'the other waits for ever')
})

test('labels are merged into those that are there, and what is too much is refused though neither part was', () => {
  const world = new World()
  const labels = (prefix: string, count: number) =>
    Object.fromEntries(Array.from({ length: count }, (_, index) => [`${prefix}${index}`, 'v']))
  const configure = (labelsPatch: Record<string, string | null>) =>
    world.do({ type: 'configure', by, lock: 'x', fields: {}, labelsPatch, replaces: false, ifVersion: null })
  const shown = () => Object.keys(lockOf(world, 'x').config?.labels ?? {}).length
  assert.equal(configure(labels('a', LABELS_MAX)).ok, true)
  assert.equal(shown(), LABELS_MAX)
  assert.equal(configure({ a0: null, b: 'v' }).ok, true)
  assert.equal(shown(), LABELS_MAX)
  const over = configure({ c: 'v' })
  assert(over.ok === false && over.code === 'invalid_request')
  assert.deepEqual([over.field, shown()], ['labels', LABELS_MAX])
})

test('pages of names are in order, whatever order the locks came in, and together are all of them', () => {
  const world = new World({ isJudged: false })
  const names = Array.from({ length: 211 }, (_, index) => `p/${((index * 7_919) % 1_009).toString(36)}`)
  for (const lock of [...names, 'o', 'q/1', 'p'])
    world.do({ type: 'configure', by, lock, fields: {}, replaces: true, ifVersion: null })
  const page = (limit: number, after: string | null, only: { only?: string[] } = {}) => {
    const reply = world.do({ type: 'list', by, prefix: 'p/', limit, after, ...only })
    assert(reply.ok === true && reply.type === 'locks')
    return { names: reply.locks.map(({ lock }) => lock), more: reply.more }
  }
  const sorted = [...names].sort((one, other) => (one < other ? -1 : 1))
  for (const limit of [1, 7, 210, 211, 500]) {
    const found: string[] = []
    for (let after: string | null = null, more = true; more; after = found.at(-1) ?? null) {
      const next = page(limit, after)
      assert.ok(next.names.length <= limit)
      found.push(...next.names)
      more = next.more
    }
    assert.deepEqual(found, sorted, `${limit} at a time`)
  }
  const some = sorted.filter(name => name.startsWith('p/a') || name === sorted[0])
  assert.deepEqual(page(500, null, { only: ['p/a*', sorted[0]!] }), { names: some, more: false })
})
