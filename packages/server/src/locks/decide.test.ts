/** Every capability of a lock as a row: what is asked, what is answered, which entries made it so. */
import { strict as assert } from 'node:assert'
import { test } from 'node:test'
import { QUEUE_WAITERS_MAX, REENTRY_MAX, SESSION_LOCKS_MAX } from '@holdfast/protocol/limits'
import { granted, lastTypes, queued, refused, release, told } from '../../../../test/simulation/core-replies.ts'
import { acquireOf, claimOf, World } from '../../../../test/simulation/core-world.ts'
import { apply } from './apply.ts'
import { encodeEntry } from './encoding.ts'
import type { Command, GrantView } from './model.ts'
import { newState } from './state.ts'

const by = 'test'
const wait = { waitMs: null }

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
  assert.deepEqual(lastTypes(world), ['released'])
  assert.equal(world.state.locks.size, 0, 'a free lock leaves no trace in memory')
})

test('release and the grant to the next are one batch', () => {
  const world = new World()
  const [a, b] = [world.open(), world.open()]
  const grant = granted(world.do(acquireOf(a, ['x'])))
  const ticket = queued(world.do(acquireOf(b, ['x'], wait)))
  world.now += 250
  world.do(release(grant))
  assert.deepEqual(lastTypes(world), ['released', 'dequeued', 'granted'])
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
  granted(told(world, reader))
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
  assert.deepEqual(granted(told(world, ticket)).slots, [0])
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
    grant = granted(told(world, next))
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
  assert.equal(refused(told(world, cancelled)), 'lock_held cancelled')
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
  assert.deepEqual(lastTypes(world), ['session_changed'])
  const seq = world.log.length
  const reply = world.do({ type: 'renew', by, session: a, ttlMs: 2_000 })
  assert(reply.ok === true && reply.type === 'renewed' && reply.confers.ttlMs === 2_000)
  assert.equal(world.log.length, seq)
  assert.equal(world.replay().sessions.get(a)?.record?.ttlMs, 5_000)
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
  granted(told(world, ticket))
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

test('a token above all that were given out is reported, whatever it is shown for; one of the past is not', () => {
  const world = new World()
  const session = world.open()
  const grant = granted(world.do(acquireOf(session, ['x'])))
  const unissued = world.state.lastNumber + 1
  const lock = 'x'
  for (const token of [unissued, grant.token - 1])
    for (const command of [
      { type: 'validate', by, lock, token },
      { type: 'write_value', by, session, lock, token, value: 'v', request: null },
      { type: 'release', by, session, grants: [{ lock, token }], request: null },
    ] satisfies Command[])
      assert.equal(refused(world.do(command)), 'stale_token', `${command.type} ${token}`)
  assert.deepEqual(world.reports, Array(3).fill({ type: 'unissued_token', lock, token: unissued }))
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
  granted(told(world, after))
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
  granted(told(world, ticket))
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
