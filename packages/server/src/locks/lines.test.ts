/** Lines before locks: who is looked at when something before them goes, and what a line may not be asked for. */
import { strict as assert } from 'node:assert'
import { test } from 'node:test'
import { grantsOf, isGranted, queued, refused, releaseOf, told } from '../../../../test/simulation/core-replies.ts'
import { acquireOf, claimOf, World } from '../../../../test/simulation/core-world.ts'
import { decide } from './decide.ts'
import type { Claim, Command } from './model.ts'

const wait = { waitMs: null }
const shared = (lock: string) => claimOf(lock, { mode: 'shared' })
const permits = (lock: string, count: number, limit = 0) => claimOf(lock, { mode: 'permits', permits: count, limit })

test('behind a set that is granted whoever is first in another of its lines now is served with it', () => {
  const world = new World()
  const [a, b, c, d] = [world.open(), world.open(), world.open(), world.open()]
  const x = grantsOf(world.do(acquireOf(a, ['x'])))
  const set = queued(world.do(acquireOf(b, ['x', shared('y'), shared('z')], wait)))
  const behind = [
    queued(world.do(acquireOf(c, [shared('y')], wait))),
    queued(world.do(acquireOf(d, [shared('z')], wait))),
  ]
  world.do(releaseOf(a, x))
  for (const ticket of [set, ...behind]) assert.ok(isGranted(world, ticket), `${ticket} waits for nobody`)
})

test('behind a set that is refused for the quota, too', () => {
  const world = new World()
  const [a, b, c] = [world.open(), world.open(), world.open()]
  const x = grantsOf(world.do(acquireOf(a, ['x'])))
  const set = queued(world.do(acquireOf(b, ['x', 'y'], wait)))
  const behind = queued(world.do(acquireOf(c, ['y'], wait)))
  // As if its plan had become smaller while they waited: one more grant, and no second.
  world.quota = { isEnabled: true, heldLocks: 1, sessions: null, waiters: null, storedBytes: null }
  world.do(releaseOf(a, x))
  assert.equal(world.ends.get(set)?.gone?.refusal?.code, 'quota_exceeded')
  assert.ok(isGranted(world, behind), 'for whom there is room')
})

test('what a lock is, is said to whoever asks for it as something else, by the field that is wrong', () => {
  const world = new World()
  const [a, b] = [world.open(), world.open()]
  const asked = (claim: Claim) => {
    const reply = world.do(acquireOf(b, [claim]))
    return reply.ok === false && reply.code === 'invalid_request' ? [reply.field, reply.message] : reply.ok
  }
  const only = 'Permits and their limit are for `mode: "permits"` only.'
  assert.deepEqual(asked(claimOf('x', { permits: 2 })), ['permits', only])
  assert.deepEqual(asked(claimOf('x', { limit: 2 })), ['limit', only])
  assert.deepEqual(asked(claimOf('x', { permits: 2, limit: 2 })), ['limit', only])
  const unlimited = ['limit', '`x` has no limit yet: name one with `limit`, or configure the lock.']
  assert.deepEqual(asked(permits('x', 1)), unlimited)
  const held = grantsOf(world.do(acquireOf(a, ['x'])))
  const ordinary = ['mode', '`x` is in use as an ordinary lock, not as a semaphore.']
  assert.deepEqual(asked(permits('x', 1, 3)), ordinary)
  world.do(releaseOf(a, held))
  grantsOf(world.do(acquireOf(a, [permits('x', 3, 3)])))
  assert.deepEqual(asked(claimOf('x')), ['mode', '`x` is a semaphore: acquire it with `mode: "permits"`.'])
  assert.deepEqual(asked(permits('x', 1, 4)), ['limit', 'The limit of `x` is 3, not 4.'])
  assert.deepEqual(asked(permits('x', 4, 3)), ['permits', '`x` has only 3 permits in all.'])
  assert.equal(asked(permits('x', 1)), false, 'refused, as there are none left, and for no other reason')
})

test('what a line of several waits for is said of the lock that it is about', () => {
  const world = new World()
  const [a, b, c] = [world.open(), world.open(), world.open()]
  grantsOf(world.do(acquireOf(a, ['x'])))
  // In line for both: of `y` it is the only one to tell what `y` is.
  queued(world.do(acquireOf(b, ['x', permits('y', 1, 2)], wait)))
  const reply = world.do(acquireOf(c, ['y']))
  assert(reply.ok === false && reply.code === 'invalid_request')
  assert.equal(reply.field, 'mode')
})

test('who waits for permits and named no limit waits under the one of now, whoever goes meanwhile', () => {
  const world = new World()
  const [a, b] = [world.open(), world.open()]
  const first = grantsOf(world.do(acquireOf(a, [permits('s', 1, 1)])))
  const waiting = queued(world.do(acquireOf(b, [permits('s', 1)], wait)))
  world.do(releaseOf(a, first))
  assert.ok(isGranted(world, waiting))
})

test('a limit that is lowered below what somebody waits for ends that wait, and the others go on', () => {
  const world = new World()
  const limited = (limit: number) =>
    world.do({ type: 'configure', by: 'test', lock: 's', fields: { limit }, replaces: true, ifVersion: null })
  const [a, b, c] = [world.open(), world.open(), world.open()]
  limited(5)
  const all = grantsOf(world.do(acquireOf(a, [permits('s', 5)])))
  const large = queued(world.do(acquireOf(b, [permits('s', 4)], wait)))
  const small = queued(world.do(acquireOf(c, [permits('s', 1)], wait)))
  limited(3)
  const ended = told(world, large)
  assert.ok(ended?.ok === false && ended.code === 'invalid_request' && ended.field === 'permits')
  assert.equal(ended.message, '`s` has only 3 permits in all.', 'and nothing of a request that somebody cancelled')
  world.do(releaseOf(a, all))
  assert.deepEqual([isGranted(world, large), isGranted(world, small)], [false, true])
})

test('who waits beyond a lowered limit is told when its turn comes, though nobody came to tell it before', () => {
  // The judge does not see what is decided beside it.
  const world = new World({ isJudged: false })
  const limited = (limit: number): Command => ({
    ...{ type: 'configure', by: 'test', lock: 's', fields: { limit } },
    ...{ replaces: true, ifVersion: null },
  })
  const [a, b, c, d] = [world.open(), world.open(), world.open(), world.open()]
  world.do(limited(3))
  const all = grantsOf(world.do(acquireOf(a, [permits('s', 3)])))
  const small = queued(world.do(acquireOf(c, [permits('s', 1)], wait)))
  const large = queued(world.do(acquireOf(b, [permits('s', 3), 'x'], wait)))
  const behind = queued(world.do(acquireOf(d, ['x'], wait)))
  // The owner ends right behind this batch: what it would have asked of itself next is never asked.
  const { entries, followUps } = decide(world.state, limited(2), { now: world.now, at: 0 })
  assert.ok(entries.length > 0 && followUps.length > 0)
  world.do(releaseOf(a, all))
  const ended = told(world, large)
  assert.ok(ended?.ok === false && ended.code === 'invalid_request' && ended.field === 'permits')
  assert.deepEqual([isGranted(world, small), isGranted(world, behind)], [true, true])
})

test('a line is as long as it may be also where whoever comes could share with the holders', () => {
  const world = new World()
  world.do({ type: 'configure', by: 'test', lock: 'x', fields: { queueMax: 2 }, replaces: true, ifVersion: null })
  grantsOf(world.do(acquireOf(world.open(), [shared('x')])))
  queued(world.do(acquireOf(world.open(), ['x'], wait)))
  queued(world.do(acquireOf(world.open(), [shared('x')], wait)))
  assert.equal(refused(world.do(acquireOf(world.open(), [shared('x')], wait))), 'queue_full')
})

test('who holds a lock enters it once more however long its line is, and though it is frozen', () => {
  const world = new World()
  world.do({ type: 'configure', by: 'test', lock: 'x', fields: { queueMax: 1 }, replaces: true, ifVersion: null })
  const [a, b] = [world.open(), world.open()]
  grantsOf(world.do(acquireOf(a, ['x'])))
  queued(world.do(acquireOf(b, ['x'], wait)))
  const count = (asked: object) => grantsOf(world.do(acquireOf(a, ['x'], { isReentrant: true, ...asked })))[0]!.count
  assert.equal(count(wait), 2, 'with a full line')
  world.do({ type: 'freeze', by: 'test', prefix: 'x', untilAt: Number.MAX_SAFE_INTEGER, reason: 'test' })
  assert.equal(count({}), 3, 'under a freeze')
  assert.equal(refused(world.do(acquireOf(b, ['x'], { isReentrant: true }))), 'frozen', 'who holds nothing')
})

test('a set is not entered once more, and who asks is told so', () => {
  const world = new World()
  const a = world.open()
  const asked = world.do(acquireOf(a, ['x', 'y'], { isReentrant: true }))
  assert.ok(asked.ok === false && asked.code === 'invalid_request' && asked.field === 'reentrant')
  grantsOf(world.do(acquireOf(a, ['x'], { isReentrant: true })))
})
