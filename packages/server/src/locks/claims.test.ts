/** What the safety of the core rests on, claim by claim, where a table of commands would not show it. */
import { strict as assert } from 'node:assert'
import { test } from 'node:test'
import { granted, refused, release } from '../../../../test/simulation/core-replies.ts'
import { acquireOf, claimOf, World } from '../../../../test/simulation/core-world.ts'
import { eventsOf } from './events.ts'
import type { Command, GrantView, Held, Reply } from './model.ts'
import { NUMBERS_PER_EPOCH, newState, nextNumber } from './state.ts'

const by = 'test'

/** What the refusal says is in the way. */
function inTheWay(reply: Reply): Held {
  assert(
    reply.ok === false && reply.code === 'lock_held' && reply.held,
    `expected what is in the way, not ${JSON.stringify(reply)}`,
  )
  return reply.held
}

test('a token of the past is refused by everything, whoever holds the lock now', () => {
  const world = new World()
  const [a, b] = [world.open(), world.open()]
  const old = granted(world.do(acquireOf(a, ['x'])))
  world.do(release(old))
  // Somebody else holds it; then the same session again, under another token.
  for (const session of [b, a]) {
    const now = granted(world.do(acquireOf(session, ['x'], { value: 'current' })))
    const by_ = { by, session: a, lock: 'x', token: old.token, request: null }
    assert.equal(refused(world.do({ type: 'validate', by, lock: 'x', token: old.token })), 'stale_token')
    assert.equal(refused(world.do({ ...by_, type: 'write_value', value: 'late' })), 'stale_token')
    assert.equal(refused(world.do({ ...by_, type: 'transfer', toSession: b })), 'stale_token')
    // Released before, so this is true, and does nothing.
    assert.equal(world.do(release(old)).ok, true)
    const held = world.do({ type: 'validate', by, lock: 'x', token: now.token })
    assert.equal(held.ok, true, 'nothing has changed')
    const value = world.do({ type: 'read_value', by, lock: 'x' })
    assert(value.ok === true && value.type === 'value' && value.value.value === 'current')
    world.do(release(now))
  }
})

test('an epoch that has no numbers left gives none', () => {
  const state = newState(3)
  state.lastNumber = 4 * NUMBERS_PER_EPOCH - 4
  assert.equal(nextNumber(state), 4 * NUMBERS_PER_EPOCH - 3)
  // A grant of several permits takes as many.
  assert.throws(() => nextNumber(state, 5), /no numbers left/)
  state.lastNumber = 4 * NUMBERS_PER_EPOCH - 1
  assert.throws(() => nextNumber(state), /no numbers left/)
  // Numbers beyond 2^53 would be rounded.
  assert.throws(() => nextNumber(newState(2 ** 21)), /2\^53/)
})

test('nobody acknowledges what has not happened', () => {
  const world = new World()
  const [a, b] = [world.open(5_000), world.open(60_000)]
  world.do({ type: 'renew', by, session: a, seenChanges: 1_000 })
  granted(world.do(acquireOf(a, ['x'])))
  world.do({ type: 'force_release', by, lock: 'x', token: null, reason: 'stuck', now: false })
  assert.equal(refused(world.do(acquireOf(b, ['x']))), 'lock_held delayed')
  world.pass(5_000)
  granted(world.do(acquireOf(b, ['x'])))
})

test('a cancel that overtakes its acquire is remembered', () => {
  const world = new World()
  const a = world.open()
  assert.equal(world.do({ type: 'cancel', by, session: a, cancels: 7, request: null }).ok, true)
  assert.equal(refused(world.do(acquireOf(a, ['x'], { request: 7 }))), 'lock_held cancelled')
  assert.equal(world.state.grantCount, 0)
  granted(world.do(acquireOf(a, ['x'], { request: 8 })))
})

test('an idempotency key outlives its grant', () => {
  const world = new World()
  const key = { key: 'k', digest: 'x' }
  const ask = () => world.do(acquireOf({ ttlMs: 2_000, defaultTtlMs: 30_000, holder: 'cron', key }, ['x']))
  const { session } = granted(ask())
  assert.equal(world.do({ type: 'release_single', by, session, lock: 'x' }).ok, true)
  assert.equal(refused(ask()), 'lock_lost session_closed')
  assert.equal(refused(world.do({ type: 'renew_single', by, session, lock: 'x' })), 'lock_lost session_closed')
  world.clean(world.log.length)
  world.pass(23 * 3_600_000)
  assert.equal(refused(ask()), 'lock_lost session_closed')
  world.pass(3_600_000)
  granted(ask())
})

test('an end that the holder did not ask for is logged with who and why', () => {
  const ends: [Command, string][] = [
    [{ type: 'force_release', by: 'ann', lock: 'x', token: null, reason: 'stuck', now: true }, 'forced'],
    [{ type: 'preempt', by: 'ann', lock: 'x', token: null, reason: 'stuck', graceMs: 0 }, 'preempted'],
  ]
  for (const [command, type] of ends) {
    const world = new World()
    const holder = world.open(60_000, 'bob')
    granted(world.do(acquireOf(holder, ['x'])))
    world.do(command)
    const entries = world.log.flatMap(batch => batch.entries).filter(entry => entry.type === type)
    assert.deepEqual(
      entries.map(entry => entry.why),
      [{ holder: 'bob', session: holder, by: 'ann', who: 'test', reason: 'stuck', change: 1 }],
    )
  }
})

test('a request id that was used for one lock says nothing about another', () => {
  const world = new World()
  const [a, b] = [world.open(), world.open()]
  const asked = [
    acquireOf(a, ['y'], { request: 'r' }),
    acquireOf(a, ['y'], { request: 'r', waitMs: null }),
    acquireOf(a, ['x', 'y'], { request: 'r' }),
    acquireOf(a, ['x', 'x'], { request: 'r' }),
    acquireOf(a, [claimOf('x', { mode: 'shared' })], { request: 'r' }),
    acquireOf(a, [claimOf('x', { mode: 'permits', permits: 2, limit: 2 })], { request: 'r' }),
  ]
  const allRefused = () => asked.map(command => refused(world.do(command)))
  const all = asked.map(() => 'invalid_request')
  const first = acquireOf(a, ['x'], { request: 'r', waitMs: null })
  const blocker = granted(world.do(acquireOf(b, ['x'])))
  const place = world.do(first)
  assert(place.ok === 'queued')
  assert.deepEqual(allRefused(), all, 'while it waits')
  world.do(release(blocker))
  const grant = granted(world.do(first))
  assert.deepEqual(allRefused(), all, 'while it holds')
  assert.equal(world.state.locks.get('y'), undefined, 'and nothing came of it')
  world.do(release(grant))
  assert.equal(refused(world.do(first)), 'lock_lost session_closed')
  assert.equal(refused(world.do(acquireOf(a, ['y'], { request: 'r' }))), 'invalid_request', 'after it has ended')
})

test('a set is the same request in any order; what was entered once more may be stronger than what was asked for', () => {
  const world = new World()
  const a = world.open()
  granted(world.do(acquireOf(a, ['x', 'y'], { request: 1 })))
  granted(world.do(acquireOf(a, ['y', 'x'], { request: 1 })))
  assert.equal(refused(world.do(acquireOf(a, ['x', 'z'], { request: 1 }))), 'invalid_request')
  assert.equal(refused(world.do(acquireOf(a, ['x'], { request: 1 }))), 'invalid_request')
  const enter = (fields = {}) =>
    world.do(acquireOf(a, [claimOf('x', { mode: 'shared' })], { request: 2, isReentrant: true, ...fields }))
  assert.equal(granted(enter()).count, 2)
  assert.equal(granted(enter()).count, 2)
})

test('a settled request id says nothing about another lock either', () => {
  const world = new World()
  const [a, b] = [world.open(), world.open()]
  const blocker = granted(world.do(acquireOf(b, ['x'])))
  const ask = (...locks: string[]) => world.do(acquireOf(a, locks, { request: 5, waitMs: null }))
  assert.equal(ask('x').ok, 'queued')
  world.do({ type: 'renew', by, session: a, settled: 1_000 })
  assert.equal(refused(ask('y')), 'invalid_request')
  world.do(release(blocker))
  granted(ask('x'))
  assert.equal(refused(ask('y')), 'invalid_request')
})

test('a request id that released, passed on or wrote something is not good for anything else that is there', () => {
  const world = new World()
  const [a, b] = [world.open(), world.open()]
  const [x, y, z] = ['x', 'y', 'z'].map(lock => granted(world.do(acquireOf(a, [lock])))) as [
    GrantView,
    GrantView,
    GrantView,
  ]
  const give = ({ lock, token }: GrantView) =>
    world.do({ ...release(x), grants: [{ lock, token }], request: 'r' } as Command)
  assert.equal(give(x).ok, true)
  assert.equal(give(x).ok, true)
  assert.equal(refused(give(y)), 'invalid_request')
  const pass = ({ lock, token }: GrantView) =>
    world.do({ type: 'transfer', by, session: a, lock, token, toSession: b, request: 't' })
  assert.equal(pass(y).ok, true)
  assert.equal(pass(y).ok, true)
  assert.equal(refused(pass(z)), 'invalid_request')
  const w = granted(world.do(acquireOf(a, ['w'], { value: 'old' })))
  const write = ({ lock, token }: GrantView, value: string) =>
    world.do({ type: 'write_value', by, session: a, lock, token, value, request: 'v' })
  assert.equal(write(z, 'new').ok, true)
  assert.equal(write(z, 'new').ok, true)
  assert.equal(refused(write(z, 'newer')), 'invalid_request')
  assert.equal(refused(write(w, 'new')), 'invalid_request')
})

test('a refusal says which lock is in the way, and what is known of it, whoever is there', () => {
  const world = new World()
  const [a, b, c] = [world.open(1_000), world.open(60_000), world.open(60_000)]
  granted(world.do(acquireOf(a, [claimOf('x', { lockDelayMs: 700 })])))
  world.pass(1_100)
  const delayed = inTheWay(world.do(acquireOf(b, ['free', 'x'])))
  assert.deepEqual([delayed.lock, delayed.holder, delayed.queueLength, delayed.isOwn], ['x', null, 0, false])
  assert(delayed.delayedMs !== null && delayed.delayedMs > 0 && delayed.delayedMs <= 700)
  assert.equal(delayed.estimateMs, delayed.delayedMs)
  assert.equal(world.do(acquireOf(b, ['x'], { request: 1, waitMs: null })).ok, 'queued')
  assert.equal(inTheWay(world.do(acquireOf(c, ['x']))).queueLength, 1)
  world.do({ type: 'cancel', by, session: c, cancels: 9, request: null })
  const cancelled = inTheWay(world.do(acquireOf(c, ['x'], { request: 9 })))
  assert.deepEqual([cancelled.lock, cancelled.queueLength], ['x', 1])
})

test('how long one would wait is judged by how long the lock was held before, contended or not', () => {
  const world = new World()
  const [a, b] = [world.open(60_000), world.open(60_000)]
  const first = granted(world.do(acquireOf(a, ['x'])))
  assert.equal(inTheWay(world.do(acquireOf(b, ['x']))).estimateMs, null, 'nothing is known yet')
  world.now += 900
  world.do(release(first))
  granted(world.do(acquireOf(a, ['x'])))
  world.now += 200
  assert.equal(inTheWay(world.do(acquireOf(b, ['x']))).estimateMs, 700)
})

test('a session is told when it is in its own way', () => {
  const world = new World()
  const [a, b] = [world.open(), world.open()]
  const shared = (session: string) => acquireOf(session, [claimOf('x', { mode: 'shared' })])
  granted(world.do(shared(a)))
  assert.equal(inTheWay(world.do(acquireOf(a, ['x']))).isOwn, true)
  assert.equal(inTheWay(world.do(acquireOf(b, ['x']))).isOwn, false)
  granted(world.do(shared(b)))
  assert.equal(inTheWay(world.do(acquireOf(a, ['x']))).isOwn, false, 'somebody else holds it too')
})

test('a release hears how its grant ended, also when the session has ended with it, and no more than is known', () => {
  const world = new World()
  const [a, b, c] = [world.open(1_000), world.open(60_000), world.open(60_000)]
  const [of_a, of_b, of_c] = [a, b, c].map(session => granted(world.do(acquireOf(session, [`${session}/x`]))))
  assert(of_a && of_b && of_c)
  world.pass(1_100)
  assert.equal(refused(world.do(release(of_a))), 'lock_lost expired')
  world.do({ type: 'close_session', by, session: b })
  assert.equal(refused(world.do(release(of_b))), 'lock_lost session_closed')
  assert.equal(refused(world.do(release({ ...of_b, token: 1 }))), 'not_found', 'a token that was never given')
  const d = world.open(60_000)
  assert.equal(refused(world.do(release({ ...of_c, session: d }))), 'stale_token', 'what another session holds')
  assert.equal(refused(world.do(release({ ...of_c, token: 1 }))), 'stale_token', 'a token that was never given')
  world.do({ type: 'force_release', by, lock: of_c.lock, token: null, reason: 'stuck', now: true })
  assert.equal(refused(world.do(release(of_c))), 'lock_lost forced')
})

test('a preemption is put down to the credential that asked, though time ends the grant and names are free', () => {
  const world = new World()
  const open = (subject: string, holder: string) => {
    const reply = world.do({ type: 'open_session', by: subject, ttlMs: 60_000, labels: { holder } })
    assert(reply.ok === true && reply.type === 'session')
    return reply.session.id
  }
  const [low, high] = [open('ann', 'a job'), open('bob', 'ann')]
  const graceful = { preempt: 'graceful', priority: 5, waitMs: null } as const
  for (const [lock, preempt] of [
    ['x', 'graceful'],
    ['y', 'immediate'],
  ] as const) {
    const { token } = granted(world.do({ ...acquireOf(low, [lock]), by: 'ann' }))
    assert.equal(world.do({ ...acquireOf(high, [lock], { ...graceful, preempt }), by: 'bob' }).ok, 'queued')
    const notice = world.do({ type: 'show', by, lock })
    if (preempt === 'graceful') {
      assert(notice.ok === true && notice.type === 'lock')
      assert.equal(notice.lock.grants[0]?.notice?.by, 'ann', 'the holder is told what the other calls itself')
    }
    world.now += 60_000
    world.do({ type: 'end_hold', by: 'service', lock, token })
    const entries = world.log
      .flatMap(batch => batch.entries)
      .filter(entry => entry.record === 'grant' && entry.lock === lock)
    const told = entries.filter(({ type }) => type === 'preempting' || type === 'preempted')
    assert.deepEqual(
      told.map(({ type }) => type),
      preempt === 'graceful' ? ['preempting', 'preempted'] : ['preempted'],
    )
    for (const { why } of told) assert.equal(why?.by, 'bob')
  }
})

test('who comes into a line or leaves it tells how long it is then, for each of its locks', () => {
  const world = new World()
  const [a, b, c, d] = [world.open(), world.open(), world.open(), world.open()]
  const held = granted(world.do(acquireOf(a, ['x'])))
  world.do(acquireOf(b, ['x'], { waitMs: null }))
  world.do(acquireOf(c, ['y', 'x'], { waitMs: null }))
  world.do(acquireOf(d, ['x'], { waitMs: 50 }))
  world.pass(60)
  world.do(release(held))
  const events = world.log.flatMap(batch => batch.entries.flatMap(entry => [...eventsOf(entry)]))
  const lengths = events.filter(({ queueLength }) => queueLength !== undefined)
  assert.deepEqual(
    lengths.map(({ type, lock, queueLength }) => [type, lock, queueLength]),
    [
      ['queued', 'x', 1],
      ['queued', 'y', 1],
      ['queued', 'x', 2],
      ['queued', 'x', 3],
      ['dequeued', 'x', 2],
      ['dequeued', 'x', 1],
    ],
  )
})
