/** What an instance may have at once, each at n and at n + 1, and that what gives back is never refused. */
import { strict as assert } from 'node:assert'
import { test } from 'node:test'
import { queued, refusedBy, releaseOf, tokenOf, told } from '../../../../test/simulation/core-replies.ts'
import { acquireOf, singleOf, World } from '../../../../test/simulation/core-world.ts'
import type { Command, Reply } from './model.ts'
import type { Quota } from './quota.ts'

const by = 'test'
const free: Quota = { isEnabled: true, heldLocks: null, sessions: null, waiters: null, storedBytes: null }
const worldOf = (quota: Partial<Quota>): World => {
  const world = new World()
  world.quota = { ...free, ...quota }
  return world
}

/** A refusal after a wait, but for how long that was. */
function unwaited(reply: Reply | null): Reply {
  assert(reply?.ok === false, `expected a refusal, not ${JSON.stringify(reply)}`)
  const { waitedMs: _waitedMs, ...refusal } = reply
  return refusal
}

test('the n-th lock is granted, the next is refused at once, and one that is given back makes room', () => {
  const world = worldOf({ heldLocks: 3 })
  const session = world.open()
  const token = tokenOf(world.do(acquireOf(session, ['a'])))
  refusedBy(world.do(acquireOf(session, ['b', 'c', 'd'])), 'held_locks', 3)
  tokenOf(world.do(acquireOf(session, ['b', 'c'])))
  refusedBy(world.do(acquireOf(session, ['d'])), 'held_locks', 3)
  refusedBy(world.do(singleOf('d')), 'held_locks', 3)
  assert.equal(world.state.sessionCount, 1, 'nothing was opened for what was refused')
  // Who asks again for what it holds takes no more.
  tokenOf(world.do(acquireOf(session, ['a'], { isReentrant: true })))
  world.do(releaseOf(session, [{ lock: 'a', token }]))
  world.do(releaseOf(session, [{ lock: 'a', token }]))
  tokenOf(world.do(acquireOf(session, ['d'])))
})

test('a repeat of what was granted is answered at the limit too', () => {
  const world = worldOf({ heldLocks: 1 })
  const session = world.open()
  const asked = acquireOf(session, ['a'], { request: 7 })
  const token = tokenOf(world.do(asked))
  assert.equal(tokenOf(world.do(asked)), token)
})

test('a lock is handed over at the limit; a waiter for whom there is no room is told when its turn comes', () => {
  const world = worldOf({ heldLocks: 2 })
  const [one, two, three] = [world.open(), world.open(), world.open()]
  const token = tokenOf(world.do(acquireOf(one, ['a'])))
  tokenOf(world.do(acquireOf(one, ['b'])))
  const next = queued(world.do(acquireOf(two, ['a'], { waitMs: null })))
  const both = queued(world.do(acquireOf(three, ['a', 'c'], { waitMs: null })))
  const last = queued(world.do(acquireOf(three, ['c', 'a'], { waitMs: null })))
  world.do(releaseOf(one, [{ lock: 'a', token }]))
  const handed = tokenOf(told(world, next))
  assert.equal(told(world, both), null)
  world.do(releaseOf(two, [{ lock: 'a', token: handed }]))
  refusedBy(unwaited(told(world, both)), 'held_locks', 2)
  refusedBy(unwaited(told(world, last)), 'held_locks', 2)
  tokenOf(world.do(acquireOf(three, ['c'])))
})

test('many whose turn comes at once are refused in several decisions: each must fit a batch', () => {
  const world = worldOf({ heldLocks: 1 })
  const [holder, waiting] = [world.open(), world.open()]
  const token = tokenOf(world.do(acquireOf(holder, ['a'])))
  const tickets = Array.from({ length: 200 }, () =>
    queued(world.do(acquireOf(waiting, [{ ...claim, lock: 'a' }], { waitMs: null }))),
  )
  world.quota = { ...free, heldLocks: 0 }
  world.do(releaseOf(holder, [{ lock: 'a', token }]))
  assert.equal(world.state.tickets.size, 0)
  for (const ticket of tickets) refusedBy(unwaited(told(world, ticket)), 'held_locks', 0)
  for (const { entries } of world.log) assert.ok(entries.length < 200)
})

const claim = { mode: 'exclusive', permits: 1, limit: 0, maxHoldMs: null, lockDelayMs: null } as const

test('the n-th session is opened and the next is not; what `/v1` opens for one lock counts as a lock', () => {
  const world = worldOf({ sessions: 2, heldLocks: 2 })
  const open: Command = { type: 'open_session', by, ttlMs: 10_000, labels: null }
  const first = world.open()
  tokenOf(world.do(singleOf('a')))
  assert.equal(world.do(open).ok, true)
  refusedBy(world.do(open), 'sessions', 2)
  tokenOf(world.do(singleOf('b')))
  refusedBy(world.do(singleOf('c')), 'held_locks', 2)
  assert.equal(world.do({ type: 'close_session', by, session: first }).ok, true)
  assert.equal(world.do(open).ok, true)
  refusedBy(world.do(open), 'sessions', 2)
})

test('the n-th waiter stands in line and the next is refused; who need not wait is not', () => {
  const world = worldOf({ waiters: 2 })
  const [holder, other] = [world.open(), world.open()]
  tokenOf(world.do(acquireOf(holder, ['a'])))
  const wait = () => world.do(acquireOf(other, ['a'], { waitMs: null }))
  queued(wait())
  const ticket = queued(wait())
  refusedBy(wait(), 'waiters', 2)
  tokenOf(world.do(acquireOf(other, ['b'], { waitMs: null })))
  world.do({ type: 'abandon', by, ticket })
  queued(wait())
  refusedBy(wait(), 'waiters', 2)
})

test('the n-th byte is kept and the next is not, wherever it is to be put', () => {
  const world = worldOf({ storedBytes: 20 })
  const session = world.open()
  const token = tokenOf(world.do(acquireOf(session, ['a'], { value: '12345' })))
  const write = (value: string) =>
    world.do({ type: 'write_value', by, session, lock: 'a', token, value, request: null })
  assert.equal(write('ä'.repeat(10)).ok, true)
  assert.equal(world.state.storedBytes, 20)
  refusedBy(write(`${'ä'.repeat(10)}.`), 'stored_bytes', 20)
  refusedBy(world.do(acquireOf(session, ['b'], { labels: { a: 'b' } })), 'stored_bytes', 20)
  refusedBy(world.do({ type: 'open_session', by, ttlMs: 1_000, labels: { a: 'b' } }), 'stored_bytes', 20)
  refusedBy(world.do(acquireOf(session, ['a'], { waitMs: null, metadata: { a: 1 } })), 'stored_bytes', 20)
  const configure: Command = { type: 'configure', by, lock: 'c', fields: {}, replaces: true, ifVersion: null }
  refusedBy(world.do(configure), 'stored_bytes', 20)
  // Less is always welcome, and so is what needs none.
  assert.equal(write('ä'.repeat(9)).ok, true)
  tokenOf(world.do(acquireOf(session, ['b'])))
  world.quota = { ...free, storedBytes: 10 }
  assert.equal(write('ä'.repeat(8)).ok, true)
})

test('what waits counts as much as what it will be granted, so that a hand-over stays within the limit', () => {
  // Two locks with `{"a":1}` and the value of one byte each.
  const world = worldOf({ storedBytes: 16 })
  const [holder, other] = [world.open(), world.open()]
  const token = tokenOf(world.do(acquireOf(holder, ['a'])))
  const fields = { waitMs: null, metadata: { a: 1 }, value: 'v' }
  refusedBy(world.do(acquireOf(other, ['a', 'b', 'c'], fields)), 'stored_bytes', 16)
  const ticket = queued(world.do(acquireOf(other, ['a', 'b'], fields)))
  assert.equal(world.state.storedBytes, 16)
  world.do(releaseOf(holder, [{ lock: 'a', token }]))
  tokenOf(told(world, ticket))
  assert.equal(world.state.storedBytes, 16)
})

test('in a disabled instance nobody who waits is granted anything', () => {
  const world = worldOf({})
  const [holder, other] = [world.open(), world.open()]
  const token = tokenOf(world.do(acquireOf(holder, ['a'])))
  const ticket = queued(world.do(acquireOf(other, ['a'], { waitMs: null })))
  world.quota = { ...free, isEnabled: false }
  assert.equal(world.do(releaseOf(holder, [{ lock: 'a', token }])).ok, true)
  assert.deepEqual(told(world, ticket), { ok: false, code: 'forbidden', reason: 'instance_disabled', waitedMs: 0 })
})
