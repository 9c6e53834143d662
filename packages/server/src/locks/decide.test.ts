/** Every capability of a lock as a row: what is asked, what is answered, which entries made it so. */
import { strict as assert } from 'node:assert'
import { test } from 'node:test'
import { QUEUE_WAITERS_MAX, REENTRY_MAX, SESSION_LOCKS_MAX } from '@holdfast/protocol/limits'
import { acquireOf, claimOf, World } from '../../../../test/simulation/core-world.ts'
import { waitAnswer } from './answers.ts'
import { apply } from './apply.ts'
import { encodeEntry } from './encoding.ts'
import type { Command, Entry, GrantView, Reply } from './model.ts'
import { newState } from './state.ts'

const by = 'test'

function granted(reply: Reply): GrantView {
  assert(reply.ok === true && reply.type === 'granted', `expected a grant, not ${JSON.stringify(reply)}`)
  return reply.grants[0]!
}

function queued(reply: Reply): number {
  assert(reply.ok === 'queued', `expected a place in line, not ${JSON.stringify(reply)}`)
  return reply.ticket
}

function refused(reply: Reply): string {
  assert(reply.ok === false, `expected a refusal, not ${JSON.stringify(reply)}`)
  return reply.code === 'lock_lost' || reply.code === 'lock_held' ? `${reply.code} ${reply.reason}` : reply.code
}

const wait = { waitMs: null }
const release = (grant: GrantView, request: number | null = null): Command => ({
  type: 'release',
  by,
  session: grant.session,
  grants: [grant],
  request,
})

/** Types of the entries of the last batch. */
function last(world: World): string[] {
  return world.log.at(-1)?.entries.map((entry: Entry) => entry.type) ?? []
}

/** What the waiter with the ticket was answered; null while it waits. */
function told(world: World, ticket: number): Reply | null {
  const entry = world.ends.get(ticket)
  return entry ? waitAnswer(world.state, entry, { now: world.now, at: 0 }) : null
}

test('an exclusive lock has one holder; a try that loses writes nothing', () => {
  const world = new World()
  const [a, b] = [world.open(), world.open()]
  const grant = granted(world.do(acquireOf(a, ['x'])))
  const seq = world.log.length
  const reply = world.do(acquireOf(b, ['x']))
  assert.equal(refused(reply), 'lock_held held')
  assert(reply.ok === false && reply.code === 'lock_held' && reply.held?.holder === a)
  assert.equal(world.log.length, seq)
  world.do(release(grant))
  assert.deepEqual(last(world), ['released'])
  assert.equal(world.state.locks.size, 0, 'a free lock leaves no trace in memory')
})

test('release and the grant to the next are one batch', () => {
  const world = new World()
  const [a, b] = [world.open(), world.open()]
  const grant = granted(world.do(acquireOf(a, ['x'])))
  const ticket = queued(world.do(acquireOf(b, ['x'], wait)))
  world.now += 250
  world.do(release(grant))
  assert.deepEqual(last(world), ['released', 'dequeued', 'granted'])
  const reply = told(world, ticket)
  assert(reply?.ok === true && reply.type === 'granted')
  assert.equal(reply.waitedMs, 250)
  assert(reply.grants[0]!.token > grant.token)
})

test('shared holders share, and a waiting writer is not starved by readers who come after it', () => {
  const world = new World()
  const [a, b, c, d] = [world.open(), world.open(), world.open(), world.open()]
  const shared = (session: string, fields = {}) => acquireOf(session, [claimOf('x', { mode: 'shared' })], fields)
  const one = granted(world.do(shared(a)))
  const two = granted(world.do(shared(b)))
  const writer = queued(world.do(acquireOf(c, ['x'], wait)))
  const reader = queued(world.do(shared(d, wait)))
  assert.equal(refused(world.do(shared(world.open()))), 'lock_held held')
  world.do(release(one))
  assert.equal(told(world, writer), null)
  world.do(release(two))
  const written = told(world, writer)
  assert.equal(told(world, reader), null)
  world.do(release(granted(written!)))
  granted(told(world, reader)!)
})

test('a semaphore grants slots, each with a token of its own, up to its limit', () => {
  const world = new World()
  const [a, b, c] = [world.open(), world.open(), world.open()]
  const permits = (session: string, count: number, fields = {}) =>
    acquireOf(session, [claimOf('s', { mode: 'permits', permits: count, limit: 3 })], fields)
  const two = granted(world.do(permits(a, 2)))
  assert.deepEqual(two.slots, [0, 1])
  const one = granted(world.do(permits(b, 1)))
  assert.deepEqual(one.slots, [2])
  assert.equal(one.token, two.token + 2)
  for (const token of [two.token, two.token + 1])
    assert.equal(world.do({ type: 'validate', by, lock: 's', token }).ok, true)
  const ticket = queued(world.do(permits(c, 1, wait)))
  world.do(release(two))
  assert.deepEqual(granted(told(world, ticket)!).slots, [0])
  assert.equal(
    refused(world.do(acquireOf(a, [claimOf('s', { mode: 'permits', permits: 1, limit: 4 })]))),
    'invalid_request',
  )
  assert.equal(refused(world.do(acquireOf(a, ['s']))), 'invalid_request')
  assert.equal(refused(world.do(permits(a, 4))), 'invalid_request')
})

test('priority goes first, arrival decides within it, and ten seconds of waiting are worth a point', () => {
  const world = new World()
  const holder = granted(world.do(acquireOf(world.open(100_000), ['x'])))
  const ask = (priority: number) => queued(world.do(acquireOf(world.open(100_000), ['x'], { ...wait, priority })))
  const [low, second, high] = [ask(0), ask(0), ask(1)]
  world.now += 10_001
  const late = ask(1)
  const order: number[] = []
  let grant: GrantView = holder
  for (let turn = 0; turn < 4; turn++) {
    world.do(release(grant))
    const next = [low, second, high, late].find(ticket => !order.includes(ticket) && told(world, ticket) !== null)!
    order.push(next)
    grant = granted(told(world, next)!)
  }
  assert.deepEqual(order, [high, low, second, late])
})

test('a bounded wait ends in time, a cancelled one at once, and neither leaves a place behind', () => {
  const world = new World()
  const [a, b, c] = [world.open(60_000), world.open(60_000), world.open(60_000)]
  granted(world.do(acquireOf(a, ['x'])))
  const timed = queued(world.do(acquireOf(b, ['x'], { waitMs: 500 })))
  const cancelled = queued(world.do(acquireOf(c, ['x'], { ...wait, request: 7 })))
  world.pass(499)
  assert.equal(told(world, timed), null)
  world.pass(1)
  const ended = told(world, timed)!
  assert.equal(refused(ended), 'lock_held timeout')
  assert(ended.ok === false && ended.waitedMs === 500, 'it says how long the wait was')
  world.do({ type: 'cancel', by, session: c, cancels: 7, request: null })
  assert.equal(refused(told(world, cancelled)!), 'lock_held cancelled')
  assert.equal(world.state.tickets.size, 0)
  assert.equal(
    refused(world.do(acquireOf(c, ['x'], { ...wait, request: 7 }))),
    'lock_held cancelled',
    'an acquire that arrives after its cancel',
  )
})

test('a queue is full at its limit, and not one before', () => {
  const world = new World()
  world.do({ type: 'configure', by, lock: 'x', fields: { queueMax: 2 }, replaces: true, ifVersion: null })
  granted(world.do(acquireOf(world.open(), ['x'])))
  queued(world.do(acquireOf(world.open(), ['x'], wait)))
  queued(world.do(acquireOf(world.open(), ['x'], wait)))
  assert.equal(refused(world.do(acquireOf(world.open(), ['x'], wait))), 'queue_full')
  assert.equal(QUEUE_WAITERS_MAX, 10_000)
})

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
  assert.deepEqual(last(world), ['dequeued', 'expired', 'session_ended', 'dequeued', 'granted'])
  assert.equal(refused(told(world, own)!), 'lock_lost expired')
  granted(told(world, next)!)
})

test('a renewal moves the deadline; one that comes when the end is decided is told the truth', () => {
  const world = new World()
  const a = world.open(1_000)
  const grant = granted(world.do(acquireOf(a, ['x'])))
  world.pass(900)
  const reply = world.do({ type: 'renew', by, session: a })
  assert(reply.ok === true && reply.type === 'renewed' && reply.confers.ttlMs === 1_000)
  world.pass(999)
  assert.equal(world.do({ type: 'validate', by, lock: 'x', token: grant.token }).ok, true)
  world.pass(1)
  assert.equal(refused(world.do({ type: 'renew', by, session: a })), 'not_found')
})

test('a longer TTL is logged before it is answered, a shorter one moves nothing back', () => {
  const world = new World()
  const a = world.open(1_000)
  world.do({ type: 'renew', by, session: a, ttlMs: 5_000 })
  assert.deepEqual(last(world), ['session_changed'])
  const seq = world.log.length
  const reply = world.do({ type: 'renew', by, session: a, ttlMs: 2_000 })
  assert(reply.ok === true && reply.type === 'renewed' && reply.confers.ttlMs === 2_000)
  assert.equal(world.log.length, seq)
  assert.equal(world.replay().sessions.get(a)?.record?.ttlMs, 5_000)
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
  granted(told(world, ticket)!)
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
  assert.deepEqual(last(world), ['queued', 'session_changed', 'preempting'])
  const renewed = world.do({ type: 'renew', by, session: a, seenChanges: 0 })
  assert(renewed.ok === true && renewed.type === 'renewed')
  assert.deepEqual(
    renewed.grants?.map(({ endsInMs, notice }) => [endsInMs, notice?.by]),
    [[300, b]],
  )
  world.do({ type: 'renew', by, session: a, seenChanges: renewed.confers.changes })
  world.pass(300)
  granted(told(world, ticket)!)
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
  granted(told(world, ticket)!)
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
    assert.deepEqual(last(world), ['queued'])
  }
  queued(world.do(acquireOf(b, ['min'], { ...wait, priority: 9, preempt: 'immediate' })))
  assert.deepEqual(last(world), ['queued', 'session_changed', 'preempting'])
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
  assert.deepEqual(last(world), ['queued'], 'one of them would stay')
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

test('a session that is full is handed nothing', () => {
  const world = new World({ isJudged: false })
  const [a, b] = [world.open(60_000), world.open(60_000)]
  for (let index = 0; index < SESSION_LOCKS_MAX; index++) granted(world.do(acquireOf(b, [`held/${index}`])))
  const { token } = granted(world.do(acquireOf(a, ['x'])))
  const hand = () => world.do({ type: 'transfer', by, session: a, lock: 'x', token, toSession: b, request: null })
  assert.equal(refused(hand()), 'quota_exceeded')
  const [other] = world.state.sessions.get(b)!.grants
  world.do({ type: 'release', by, session: b, grants: [other!], request: null })
  assert.equal(hand().ok, true)
})

test('a larger limit serves those who wait', () => {
  const world = new World()
  const configure = (limit: number) =>
    world.do({ type: 'configure', by, lock: 'pool', fields: { limit }, replaces: true, ifVersion: null })
  assert.equal(configure(1).ok, true)
  const one = () => acquireOf(world.open(60_000), [claimOf('pool', { mode: 'permits' })], wait)
  granted(world.do(one()))
  const ticket = queued(world.do(one()))
  assert.equal(configure(2).ok, true)
  granted(told(world, ticket)!)
})

test('who stood behind a waiter that a deadlock has cost its place is served', () => {
  const world = new World()
  const [a, b, c] = [world.open(60_000), world.open(60_000), world.open(60_000)]
  granted(world.do(acquireOf(a, [claimOf('x', { mode: 'shared' })])))
  granted(world.do(acquireOf(b, ['y'])))
  const victim = queued(world.do(acquireOf(b, ['x'], wait)))
  const behind = queued(world.do(acquireOf(c, [claimOf('x', { mode: 'shared' })], wait)))
  queued(world.do(acquireOf(a, ['y'], { ...wait, priority: 5 })))
  assert.equal(refused(told(world, victim)!), 'deadlock')
  granted(told(world, behind)!)
})

test('the end of a grant alone tells that its number is taken', () => {
  const world = new World()
  const a = world.open()
  const grant = granted(world.do(acquireOf(a, ['x'])))
  world.do(release(grant))
  // All that may be left of it in a log that was cleaned.
  const end = world.log.flatMap(({ entries }) => entries).find(entry => entry.record === 'grant' && !entry.value)
  const state = newState(1)
  state.seq = 9
  apply(state, end!)
  assert.ok(state.lastNumber >= grant.token)
})

test('tokens validate while held, and never again', () => {
  const world = new World()
  const grant = granted(world.do(acquireOf(world.open(), ['x'])))
  assert.equal(world.do({ type: 'validate', by, lock: 'x', token: grant.token }).ok, true)
  assert.equal(refused(world.do({ type: 'validate', by, lock: 'y', token: grant.token })), 'stale_token')
  world.do(release(grant))
  assert.equal(refused(world.do({ type: 'validate', by, lock: 'x', token: grant.token })), 'stale_token')
})

test('reentrancy is counted, and only where asked for', () => {
  const world = new World()
  const a = world.open()
  const grant = granted(world.do(acquireOf(a, ['x'])))
  assert.equal(refused(world.do(acquireOf(a, ['x']))), 'lock_held held')
  const again = granted(world.do(acquireOf(a, ['x'], { isReentrant: true })))
  assert.deepEqual([again.token, again.count], [grant.token, 2])
  const left = world.do(release(grant))
  assert(left.ok === true && left.type === 'released' && left.left === 1)
  assert.equal(world.do({ type: 'validate', by, lock: 'x', token: grant.token }).ok, true)
  world.do(release(grant))
  assert.equal(world.state.grantCount, 0)
  assert.equal(REENTRY_MAX, 1_000)
})

test('a set is granted whole or not at all, and waits without holding', () => {
  const world = new World()
  const [a, b, c] = [world.open(), world.open(), world.open()]
  const x = granted(world.do(acquireOf(a, ['x'])))
  assert.equal(refused(world.do(acquireOf(b, ['x', 'y']))), 'lock_held held')
  const ticket = queued(world.do(acquireOf(b, ['x', 'y'], wait)))
  const after = queued(world.do(acquireOf(c, ['y'], wait)))
  assert.equal(world.state.grantCount, 1)
  world.do(release(x))
  const reply = told(world, ticket)
  assert(reply?.ok === true && reply.type === 'granted')
  assert.deepEqual(
    reply.grants.map(grant => grant.lock),
    ['x', 'y'],
  )
  assert.equal(told(world, after), null)
  assert.equal(
    refused(
      world.do({ type: 'release', by, session: b, grants: [reply.grants[0]!, { lock: 'y', token: 1 }], request: null }),
    ),
    'stale_token',
  )
  assert.equal(world.state.grantCount, 2, 'a release in part is refused whole')
  world.do({ type: 'release', by, session: b, grants: reply.grants, request: null })
  granted(told(world, after)!)
})

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
  assert.equal(refused(told(world, ticket)!), 'deadlock')
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
    reports.push(
      world.state.orders.young.size - before,
      ...world.reports.splice(0).map(({ first: x, second: y }) => [x, y]),
    )
    world.do(release(two))
    world.do(release(one))
  }
  take('x', 'y')
  take('y', 'x')
  assert.deepEqual(reports, [1, 1, ['y', 'x']])
})

test('the value of a lock is written by its holder alone, and outlives the grant', () => {
  const world = new World()
  const [a, b] = [world.open(), world.open()]
  const grant = granted(world.do(acquireOf(a, ['x'], { value: 'first' })))
  const write = (session: string, token: number, value: string) =>
    world.do({ type: 'write_value', by, session, lock: 'x', token, value, request: null })
  assert.equal(write(a, grant.token, 'second').ok, true)
  assert.equal(refused(write(b, grant.token, 'stolen')), 'stale_token')
  world.do(release(grant))
  assert.equal(refused(write(a, grant.token, 'late')), 'stale_token')
  const read = world.do({ type: 'read_value', by, lock: 'x' })
  assert(read.ok === true && read.type === 'value' && read.value.value === 'second')
})

test('a transfer gives a new token in one step; the old one is fenced', () => {
  const world = new World()
  const [a, b] = [world.open(), world.open()]
  const grant = granted(world.do(acquireOf(a, ['x'])))
  const reply = world.do({ type: 'transfer', by, session: a, lock: 'x', token: grant.token, toSession: b, request: 3 })
  assert(reply.ok === true && reply.type === 'transferred' && reply.token > grant.token)
  assert.deepEqual(
    world.do({ type: 'transfer', by, session: a, lock: 'x', token: grant.token, toSession: b, request: 3 }),
    reply,
  )
  assert.equal(refused(world.do(release(grant))), 'lock_lost transferred')
  world.do({ type: 'release', by, session: b, grants: [{ lock: 'x', token: reply.token }], request: null })
  assert.equal(world.state.grantCount, 0)
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
    granted(told(world, ticket)!)
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
  granted(told(world, ticket)!)
})

test('a freeze refuses everybody under its prefix and keeps their places for those who wait', () => {
  const world = new World()
  const [a, b] = [world.open(60_000), world.open(60_000)]
  const grant = granted(world.do(acquireOf(a, ['db/1'])))
  const ticket = queued(world.do(acquireOf(b, ['db/1'], wait)))
  world.do({ type: 'freeze', by: 'operator', prefix: 'db/', untilAt: 9e12, reason: 'maintenance' })
  const reply = world.do(acquireOf(b, ['db/2'], wait))
  assert(reply.ok === false && reply.code === 'frozen' && reply.reason === 'maintenance' && reply.by === 'operator')
  granted(world.do(acquireOf(b, ['dbx'])))
  world.do(release(grant))
  assert.equal(told(world, ticket), null)
  world.do({ type: 'thaw', by, prefix: 'db/' })
  granted(told(world, ticket)!)
})

test('the same request id has one effect, and is answered with what is true now', () => {
  const world = new World()
  const [a, b] = [world.open(60_000), world.open(60_000)]
  const ask = () => world.do(acquireOf(a, ['x'], { ...wait, request: 1 }))
  const grant = granted(ask())
  assert.equal(granted(ask()).token, grant.token)
  const place = () => queued(world.do(acquireOf(b, ['x'], { ...wait, request: 1 })))
  assert.equal(place(), place())
  world.do(release(grant, 2))
  assert.equal(world.do(release(grant, 2)).ok, true)
  assert.equal(refused(ask()), 'lock_lost session_closed')
  world.do({ type: 'renew', by, session: a, settled: 500 })
  assert.equal(refused(ask()), 'invalid_request')
  assert.equal(world.state.sessions.get(a)?.requests?.size, 0, 'what is settled is forgotten')
})

test('a wait that was settled while it waited keeps its place, is answered when repeated, and can be taken back', () => {
  const world = new World()
  const [a, b] = [world.open(60_000), world.open(60_000)]
  const holder = granted(world.do(acquireOf(a, ['x'])))
  const ask = () => world.do(acquireOf(b, ['x'], { ...wait, request: 5 }))
  const ticket = queued(ask())
  world.do({ type: 'renew', by, session: b, settled: 500 })
  assert.equal(queued(ask()), ticket)
  world.do(release(holder))
  const token = granted(told(world, ticket)!).token
  assert.equal(granted(ask()).token, token)
  world.do({ type: 'cancel', by, session: b, cancels: 5, request: null })
  assert.equal(world.state.grantCount, 0)
  assert.equal(refused(ask()), 'invalid_request')
})

test('a v1 key gives the same grant again, another body is refused, a refusal is not remembered', () => {
  const world = new World()
  const single = (lock: string, fields = {}) =>
    acquireOf({ ttlMs: 2_000, defaultTtlMs: 30_000, holder: 'cron', key: { key: 'k', digest: lock } }, [lock], fields)
  const holder = granted(world.do(acquireOf(world.open(60_000), ['x'])))
  assert.equal(refused(world.do(single('x'))), 'lock_held held')
  world.do(release(holder))
  const grant = granted(world.do(single('x')))
  assert.equal(granted(world.do(single('x'))).token, grant.token)
  assert.equal(refused(world.do(single('y'))), 'invalid_request')
  const releaseIt = () => world.do({ type: 'release_single', by, session: grant.session, lock: 'x' })
  assert.equal(releaseIt().ok, true)
  assert.equal(releaseIt().ok, true)
  assert.equal(
    refused(world.do({ type: 'renew_single', by, session: grant.session, lock: 'x' })),
    'lock_lost session_closed',
  )
})

/** Bytes of the largest batch that the world has logged. */
const largestBatch = (world: World) =>
  Math.max(...world.log.map(batch => Buffer.byteLength(batch.entries.map(encodeEntry).join())))

test('a session can hold and wait for as much as fits one batch, and no more', () => {
  const world = new World({ isJudged: false })
  const [a, b] = [world.open(60_000), world.open(60_000)]
  for (let index = 0; index < SESSION_LOCKS_MAX; index++) granted(world.do(acquireOf(a, [`x${index}`])))
  assert.equal(refused(world.do(acquireOf(a, ['more']))), 'quota_exceeded')
  for (let index = 0; index < SESSION_LOCKS_MAX; index++) queued(world.do(acquireOf(b, [`x${index}`], wait)))
  assert.equal(refused(world.do(acquireOf(b, ['x0'], wait))), 'quota_exceeded')
  world.do({ type: 'close_session', by, session: a })
  assert.equal(world.state.sessions.get(b)?.grants.length, SESSION_LOCKS_MAX)
  assert(largestBatch(world) < 1024 * 1024)
})

test('a session with the longest names and lock-delays can hold fewer, and its end fits one batch too', () => {
  const world = new World({ isJudged: false })
  const a = world.open(1_000, '"'.repeat(128))
  const name = (index: number) => `${'"'.repeat(250)}${index}`
  let held = 0
  while (world.do(acquireOf(a, [claimOf(name(held), { lockDelayMs: 1_000 })])).ok === true) held++
  assert(held > 300 && held < SESSION_LOCKS_MAX)
  world.pass(1_000)
  assert.equal(world.state.sessions.get(a)?.record ?? null, null)
  assert(largestBatch(world) < 1024 * 1024, `${largestBatch(world)}`)
})

test('a crowd of readers is granted in portions, and nobody is left behind', () => {
  const world = new World({ isJudged: false })
  const [writer, reader] = [world.open(60_000), world.open(60_000)]
  const held = granted(world.do(acquireOf(writer, ['x'])))
  const metadata = { text: 'm'.repeat(2_000) }
  for (let index = 0; index < 500; index++)
    queued(world.do(acquireOf(reader, [claimOf('x', { mode: 'shared' })], { ...wait, task: `${index}`, metadata })))
  world.do(release(held))
  assert.equal(world.state.sessions.get(reader)?.grants.length, 500)
  assert(largestBatch(world) < 512 * 1024)
})

test('why am I waiting: the queue says who holds, since when, and who is before', () => {
  const world = new World()
  const [a, b, c] = [world.open(60_000, 'ann'), world.open(60_000, 'bob'), world.open(60_000, 'cat')]
  granted(world.do(acquireOf(a, ['x'], { labels: { job: 'import' } })))
  queued(world.do(acquireOf(b, ['x'], wait)))
  queued(world.do(acquireOf(c, ['x'], { ...wait, priority: 1 })))
  world.now += 40
  const reply = world.do({ type: 'queue', by, lock: 'x' })
  assert(reply.ok === true && reply.type === 'queue')
  assert.deepEqual(
    reply.waiters.map(({ holder, position, waitedMs }) => [holder, position, waitedMs]),
    [
      ['cat', 1, 40],
      ['bob', 2, 40],
    ],
  )
  assert.deepEqual(
    reply.lock.grants.map(({ holder, labels }) => [holder, labels?.job]),
    [['ann', 'import']],
  )
})

test('configuration is versioned; a lock in use cannot be deleted; listing pages by name', () => {
  const world = new World()
  const put = (lock: string, ifVersion: number | null = null) =>
    world.do({ type: 'configure', by, lock, fields: { description: lock }, replaces: true, ifVersion })
  const first = put('b')
  assert(first.ok === true && first.type === 'configured' && first.isNew)
  const version = first.lock.config!.version
  assert.equal(put('b', version).ok, true)
  assert.equal(refused(put('b', version)), 'precondition_failed')
  for (const lock of ['a', 'c', 'a/b']) put(lock)
  const page = world.do({ type: 'list', by, prefix: '', after: 'a', limit: 2 })
  assert(page.ok === true && page.type === 'locks' && page.more)
  assert.deepEqual(
    page.locks.map(lock => lock.lock),
    ['a/b', 'b'],
  )
  const grant = granted(world.do(acquireOf(world.open(), ['b'])))
  assert.equal(refused(world.do({ type: 'delete_lock', by, lock: 'b', ifVersion: null })), 'lock_held held')
  world.do(release(grant))
  assert.equal(world.do({ type: 'delete_lock', by, lock: 'b', ifVersion: null }).ok, true)
  assert.equal(refused(world.do({ type: 'show', by, lock: 'b' })), 'not_found')
})
