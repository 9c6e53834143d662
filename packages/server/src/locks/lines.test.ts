/** Lines before locks: who is looked at when something before them goes, what a line may not be asked for, and in which order locks are taken. */
import { strict as assert } from 'node:assert'
import { test } from 'node:test'
import { acquireOf, claimOf, World } from '../../../../test/simulation/core-world.ts'
import type { Claim, GrantView, Reply } from './model.ts'

const by = 'test'
const wait = { waitMs: null }
const shared = (lock: string) => claimOf(lock, { mode: 'shared' })
const permits = (lock: string, count: number, limit = 0) => claimOf(lock, { mode: 'permits', permits: count, limit })

function grantsOf(reply: Reply): GrantView[] {
  assert(reply.ok === true && reply.type === 'granted', `expected a grant, not ${JSON.stringify(reply)}`)
  return reply.grants
}

function ticketOf(reply: Reply): number {
  assert(reply.ok === 'queued', `expected a place in line, not ${JSON.stringify(reply)}`)
  return reply.ticket
}

const release = (world: World, session: string, grants: readonly GrantView[]) =>
  world.do({
    type: 'release',
    by,
    session,
    grants: grants.map(({ lock, token }) => ({ lock, token })),
    request: null,
  })

const isGranted = (world: World, ticket: number) => Boolean(world.ends.get(ticket)?.gone?.grants)

test('behind a set that is granted whoever is first in another of its lines now is served with it', () => {
  const world = new World()
  const [a, b, c, d] = [world.open(), world.open(), world.open(), world.open()]
  const x = grantsOf(world.do(acquireOf(a, ['x'])))
  const set = ticketOf(world.do(acquireOf(b, ['x', shared('y'), shared('z')], wait)))
  const behind = [
    ticketOf(world.do(acquireOf(c, [shared('y')], wait))),
    ticketOf(world.do(acquireOf(d, [shared('z')], wait))),
  ]
  release(world, a, x)
  for (const ticket of [set, ...behind]) assert.ok(isGranted(world, ticket), `${ticket} waits for nobody`)
})

test('behind a set that is refused for the quota, too', () => {
  const world = new World()
  const [a, b, c] = [world.open(), world.open(), world.open()]
  const x = grantsOf(world.do(acquireOf(a, ['x'])))
  const set = ticketOf(world.do(acquireOf(b, ['x', 'y'], wait)))
  const behind = ticketOf(world.do(acquireOf(c, ['y'], wait)))
  // As if its plan had become smaller while they waited: one more grant, and no second.
  world.quota = { isEnabled: true, heldLocks: 1, sessions: null, waiters: null, storedBytes: null }
  release(world, a, x)
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
  release(world, a, held)
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
  ticketOf(world.do(acquireOf(b, ['x', permits('y', 1, 2)], wait)))
  const reply = world.do(acquireOf(c, ['y']))
  assert(reply.ok === false && reply.code === 'invalid_request')
  assert.equal(reply.field, 'mode')
})

test('an order of two locks is remembered while four thousand others come, and forgotten in the end', () => {
  const world = new World({ isJudged: false })
  const session = world.open(10_000_000)
  const nested = (first: string, second: string) => {
    const outer = grantsOf(world.do(acquireOf(session, [first])))
    const inner = grantsOf(world.do(acquireOf(session, [second])))
    release(world, session, inner)
    release(world, session, outer)
  }
  const others = (count: number, from: number) => {
    for (let index = from; index < from + count; index++) nested(`outer-${index}`, `inner-${index}`)
  }
  nested('a', 'b')
  others(4_096, 0)
  nested('b', 'a')
  assert.deepEqual(
    world.reports.map(({ first, second }) => [first, second]),
    [['b', 'a']],
    'though a new book has been begun since',
  )
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
  release(world, many, held)
  const last = world.state.locks.get('last')?.grants ?? []
  assert.equal(last.length, 1)
  world.do({ type: 'release', by, session: many, grants: [{ lock: 'last', token: last[0]!.token }], request: null })
  grantsOf(world.do(acquireOf(other, ['last'])))
  grantsOf(world.do(acquireOf(other, ['n-00'])))
  assert.deepEqual(world.reports, [], 'the seventeenth was in no order with the others')
})
