/** How a hold ends that nobody has released: with its session, when its time is up, for somebody who ranks above, or by force; and when the next one comes. */
import { strict as assert } from 'node:assert'
import { test } from 'node:test'
import { granted, lastTypes, queued, refused, release, told } from '../../../../test/simulation/core-replies.ts'
import { acquireOf, claimOf, World } from '../../../../test/simulation/core-world.ts'
import type { Command } from './model.ts'

const by = 'test'
const wait = { waitMs: null }

test('the end of a session ends all that it holds and waits for, and serves those who wait', () => {
  const world = new World()
  const [a, b, c] = [world.open(1_000), world.open(60_000), world.open(60_000)]
  granted(world.do(acquireOf(b, ['y'])))
  granted(world.do(acquireOf(a, ['x'])))
  const own = queued(world.do(acquireOf(a, ['y'], wait)))
  const next = queued(world.do(acquireOf(c, ['x'], wait)))
  world.pass(999)
  assert.equal(told(world, next), null)
  world.pass(1)
  assert.deepEqual(lastTypes(world), ['dequeued', 'expired', 'session_ended', 'dequeued', 'granted'])
  assert.equal(refused(told(world, own)), 'lock_lost expired')
  granted(told(world, next))
})

test('a longest hold ends a live holder, who was told from the start and is warned', () => {
  const world = new World()
  const a = world.open(60_000)
  const grant = granted(world.do(acquireOf(a, [claimOf('x', { maxHoldMs: 1_000 })])))
  assert.equal(grant.endsInMs, 1_000)
  assert.equal(
    world.due.some(({ dueMs, command }) => command.type === 'warn_hold' && dueMs === world.now + 900),
    true,
  )
  world.pass(1_000)
  assert.equal(refused(world.do(release(grant))), 'lock_lost max_hold')
})

test('after an unclean end the lock-delay keeps everybody out; after a clean one it does not', () => {
  const world = new World()
  const delayed = (session: string) => acquireOf(session, [claimOf('x', { lockDelayMs: 700 })])
  world.do(release(granted(world.do(delayed(world.open())))))
  granted(world.do(delayed(world.open(1_000))))
  world.pass(1_000)
  const b = world.open(60_000)
  assert.equal(refused(world.do(acquireOf(b, ['x']))), 'lock_held delayed')
  const ticket = queued(world.do(acquireOf(b, ['x'], wait)))
  world.pass(699)
  assert.equal(told(world, ticket), null)
  world.pass(1)
  granted(told(world, ticket))
})

/** Two sessions: the first lost a lock with a lock-delay without having been told, the second waits for it. */
function lostWithDelay(): { world: World; a: string; ticket: number } {
  const world = new World()
  const [a, b] = [world.open(60_000), world.open(60_000)]
  granted(world.do(acquireOf(a, [claimOf('x', { lockDelayMs: 300 })])))
  const ticket = queued(world.do(acquireOf(b, ['x'], { ...wait, priority: 5, preempt: 'immediate' })))
  return { world, a, ticket }
}

const promisesEnded: [string, (session: string) => Command][] = [
  ['the holder has said before that it knows of its loss', session => ({ type: 'renew', by, session, seenChanges: 1 })],
  ['the session of the holder has ended before', session => ({ type: 'close_session', by, session })],
]
for (const [how, end] of promisesEnded)
  test(`a lock-delay ends in its time when ${how}`, () => {
    const { world, a, ticket } = lostWithDelay()
    world.pass(100)
    world.do(end(a))
    world.pass(199)
    assert.equal(told(world, ticket), null)
    world.pass(1)
    assert.equal(told(world, ticket)?.ok, true)
  })

test('a lock-delay that is over leaves the promise in force', () => {
  const { world, a, ticket } = lostWithDelay()
  world.pass(300)
  assert.equal(told(world, ticket), null)
  world.do({ type: 'renew', by, session: a, seenChanges: 1 })
  assert.equal(told(world, ticket)?.ok, true)
})

test('graceful preemption gives notice with who, why and how long, then ends the grant', () => {
  const world = new World()
  world.do({ type: 'configure', by, lock: 'x', fields: { graceMs: 300 }, replaces: true, ifVersion: null })
  const [a, b] = [world.open(2_000), world.open(60_000)]
  const grant = granted(world.do(acquireOf(a, ['x'])))
  const ticket = queued(world.do(acquireOf(b, ['x'], { ...wait, priority: 5, preempt: 'graceful' })))
  assert.deepEqual(lastTypes(world), ['queued', 'session_changed', 'preempting'])
  const renewed = world.do({ type: 'renew', by, session: a, seenChanges: 0 })
  assert(renewed.ok === true && renewed.type === 'renewed')
  assert.deepEqual(
    renewed.grants?.map(({ endsInMs, notice }) => [endsInMs, notice?.by]),
    [[300, b]],
  )
  world.do({ type: 'renew', by, session: a, seenChanges: renewed.confers.changes })
  world.pass(300)
  granted(told(world, ticket))
  assert.equal(refused(world.do(release(grant))), 'lock_lost preempted')
})

test('a preempted holder who has not said that it knows keeps the next one out until its last promise is over', () => {
  const world = new World()
  world.do({ type: 'configure', by, lock: 'x', fields: { graceMs: 300 }, replaces: true, ifVersion: null })
  const [a, b] = [world.open(2_000), world.open(60_000)]
  granted(world.do(acquireOf(a, ['x'])))
  const ticket = queued(world.do(acquireOf(b, ['x'], { ...wait, priority: 5, preempt: 'immediate' })))
  // What it renews after the notice promises nothing beyond what stood before.
  world.pass(1_000)
  world.do({ type: 'renew', by, session: a })
  world.pass(999)
  assert.equal(told(world, ticket), null)
  world.pass(1)
  granted(told(world, ticket))
})

test('preemption: only by a higher priority, only as far as the lock permits, never before min_hold_ms', () => {
  const world = new World()
  world.do({ type: 'configure', by, lock: 'no', fields: { preemption: 'never' }, replaces: true, ifVersion: null })
  world.do({ type: 'configure', by, lock: 'min', fields: { minHoldMs: 1_000 }, replaces: true, ifVersion: null })
  const a = world.open(60_000)
  for (const lock of ['no', 'min', 'x']) granted(world.do(acquireOf(a, [lock], { priority: 3 })))
  const b = world.open(60_000)
  for (const [lock, priority] of [
    ['no', 9],
    ['x', 3],
  ] as const) {
    queued(world.do(acquireOf(b, [lock], { ...wait, priority, preempt: 'immediate' })))
    assert.deepEqual(lastTypes(world), ['queued'])
  }
  queued(world.do(acquireOf(b, ['min'], { ...wait, priority: 9, preempt: 'immediate' })))
  assert.deepEqual(lastTypes(world), ['queued', 'session_changed', 'preempting'])
  const [grant] = world.state.locks.get('min')!.grants
  assert.equal(grant?.notice?.endsMs, grant!.sinceMs + 1_000)
})

test('preemption takes from all who block, or from nobody; of a semaphore from those who rank below', () => {
  const world = new World()
  const shared = (session: string, lock: string, priority: number) =>
    granted(world.do(acquireOf(session, [claimOf(lock, { mode: 'shared' })], { priority })))
  const [a, b, c] = [world.open(60_000), world.open(60_000), world.open(60_000)]
  shared(a, 'x', 1)
  shared(b, 'x', 9)
  queued(world.do(acquireOf(c, ['x'], { ...wait, priority: 5, preempt: 'graceful' })))
  assert.deepEqual(lastTypes(world), ['queued'], 'one of them would stay')
  const permits = (session: string, priority: number, fields = {}) =>
    acquireOf(session, [claimOf('pool', { mode: 'permits', limit: 2 })], { priority, ...fields })
  granted(world.do(permits(a, 1)))
  granted(world.do(permits(b, 9)))
  queued(world.do(permits(c, 5, { ...wait, preempt: 'graceful' })))
  const noticed = world.state.locks.get('pool')!.grants.filter(({ notice }) => notice !== null)
  assert.deepEqual(
    noticed.map(({ session }) => session),
    [a],
  )
})

test('preemption for a set takes from nobody as long as one of its locks cannot be had by it', () => {
  const world = new World()
  const [a, b, c, d] = [world.open(60_000), world.open(60_000), world.open(60_000), world.open(60_000)]
  granted(world.do(acquireOf(a, ['x'], { priority: 0 })))
  const above = granted(world.do(acquireOf(b, ['y'], { priority: 50 })))
  const ahead = queued(world.do(acquireOf(d, ['y'], { ...wait, priority: 20 })))
  const set = queued(world.do(acquireOf(c, ['x', 'y'], { ...wait, priority: 10, preempt: 'immediate' })))
  const holder = () => world.state.locks.get('x')?.grants[0]?.session
  assert.equal(holder(), a, 'somebody above holds the other lock')
  world.do(release(above))
  assert.equal(holder(), a, 'somebody above has come to hold it')
  world.do(release(granted(told(world, ahead))))
  assert.equal(holder(), undefined, 'now it is taken for the set')
  world.do({ type: 'renew', by, session: a, seenChanges: 1 })
  assert.equal(told(world, set)?.ok, true)
})

/** Who is left of holders of a semaphore, or under no notice, after the last one has preempted. */
function spared(holders: readonly { permits: number; priority: number }[], preempt: 'graceful' | 'immediate') {
  const world = new World()
  const permits = (count: number) => [claimOf('pool', { mode: 'permits', permits: count, limit: 6 })]
  for (const { permits: count, priority } of holders)
    granted(world.do(acquireOf(world.open(60_000), permits(count), { priority })))
  queued(world.do(acquireOf(world.open(60_000), permits(2), { ...wait, priority: 5, preempt })))
  // Looked at again, though the one who was told has not gone yet.
  world.do({ type: 'pump', by, lock: 'pool' })
  const kept = world.state.locks.get('pool')!.grants.filter(({ notice }) => notice === null)
  return kept.map(({ permits: count, priority }) => [count, priority])
}

test('of a semaphore as few are preempted as make room, the lowest priority first, then the youngest', () => {
  const all = (permits: number, ...priorities: number[]) => priorities.map(priority => ({ permits, priority }))
  for (const preempt of ['graceful', 'immediate'] as const) {
    assert.deepEqual(spared(all(2, 1, 1, 0), preempt), [
      [2, 1],
      [2, 1],
    ])
    assert.deepEqual(spared([...all(1, 3), ...all(2, 1), ...all(1, 1, 1)], preempt), [
      [1, 3],
      [2, 1],
      [1, 1],
    ])
    assert.deepEqual(
      spared([...all(3, 1), ...all(2, 1), ...all(1, 0)], preempt),
      [
        [3, 1],
        [1, 0],
      ],
      'one who has enough',
    )
    assert.deepEqual(spared(all(3, 9, 0), preempt), [[3, 9]])
    assert.deepEqual(
      spared([...all(5, 9), ...all(1, 0)], preempt),
      [
        [5, 9],
        [1, 0],
      ],
      'nobody, where that is not enough',
    )
  }
})

test('a transferred grant stays under its notice', () => {
  const world = new World()
  const [a, b, c] = [world.open(60_000), world.open(60_000), world.open(60_000)]
  const { token } = granted(world.do(acquireOf(a, ['x'])))
  queued(world.do(acquireOf(c, ['x'], { ...wait, priority: 5, preempt: 'graceful' })))
  const endsMs = world.state.locks.get('x')!.grants[0]!.notice!.endsMs
  assert.ok(endsMs > world.now)
  world.pass(100)
  assert.equal(world.do({ type: 'transfer', by, session: a, lock: 'x', token, toSession: b, request: 3 }).ok, true)
  const [grant] = world.state.locks.get('x')!.grants
  assert.deepEqual([grant!.session, grant!.notice?.endsMs], [b, endsMs])
})

test('a grant whose notice is over when it is transferred serves whoever is next', () => {
  const world = new World()
  const [a, b, c] = [world.open(60_000), world.open(1_000), world.open(60_000)]
  const { token } = granted(world.do(acquireOf(a, ['x'])))
  const next = queued(world.do(acquireOf(c, ['x'], wait)))
  world.do({ type: 'preempt', by, lock: 'x', token: null, reason: 'r', graceMs: 900 })
  // Both times are up, and nobody has looked yet.
  world.now += 1_000
  world.do({ type: 'transfer', by, session: a, lock: 'x', token, toSession: b, request: null })
  granted(told(world, next))
})

test('a forced release waits for the last promise, unless the operator says now', () => {
  for (const now of [false, true]) {
    const world = new World()
    const [a, b] = [world.open(5_000), world.open(60_000)]
    const grant = granted(world.do(acquireOf(a, ['x'])))
    const ticket = queued(world.do(acquireOf(b, ['x'], wait)))
    world.do({ type: 'force_release', by: 'operator', lock: 'x', token: null, reason: 'stuck', now })
    assert.equal(refused(world.do(release(grant))), 'lock_lost forced')
    assert.equal(told(world, ticket) !== null, now)
    world.pass(4_999)
    assert.equal(told(world, ticket) !== null, now)
    world.pass(1)
    granted(told(world, ticket))
  }
})

test('a forced release frees the lock at once when the holder says that it knows', () => {
  const world = new World()
  const [a, b] = [world.open(5_000), world.open(60_000)]
  granted(world.do(acquireOf(a, ['x'])))
  const ticket = queued(world.do(acquireOf(b, ['x'], wait)))
  world.do({ type: 'force_release', by, lock: 'x', token: null, reason: 'stuck', now: false })
  const renewed = world.do({ type: 'renew', by, session: a, seenChanges: 0 })
  assert(
    renewed.ok === true && renewed.type === 'renewed' && renewed.grants?.length === 0 && renewed.confers.changes === 1,
  )
  assert.equal(told(world, ticket), null, 'the list has been sent, not seen')
  world.do({ type: 'renew', by, session: a, seenChanges: 1 })
  granted(told(world, ticket))
})

test('a release tells of what its own hand-over has taken from the session, so that it confers no time on that', () => {
  const world = new World()
  const [holder, other] = [world.open(15_000), world.open(60_000)]
  const high = granted(world.do(acquireOf(holder, ['a'], { priority: 50 })))
  granted(world.do(acquireOf(holder, ['b'])))
  const next = queued(world.do(acquireOf(other, ['a', 'b'], { ...wait, priority: 10, preempt: 'immediate' })))
  world.now += 13_000
  const deadlineMs = world.state.sessions.get(holder)?.deadlineMs ?? 0
  const reply = world.do(release(high))
  // Whoever has not heard of that change believes that it holds `b` for a whole TTL more, and `b` is only kept for what was promised before.
  assert(reply.ok === true && reply.type === 'released')
  assert.equal(reply.confers?.changes, world.state.sessions.get(holder)?.record?.changes)
  assert.deepEqual(
    world.state.locks.get('b')?.delays.map(({ promiseUntilMs }) => promiseUntilMs),
    [deadlineMs],
  )
  world.pass(2_100)
  granted(told(world, next))
})
