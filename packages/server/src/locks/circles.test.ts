/**
 * Circles of those who wait for each other, against a model that shares no code with the search: nobody is told of a deadlock whom the others would let
 * go on, and nobody waits for ever. The model takes away what is held by tasks that wait for nothing and serves whoever is next, until nothing changes:
 * who is left is stuck.
 */
import { strict as assert } from 'node:assert'
import { test } from 'node:test'
import fc from 'fast-check'
import { granted, queued, refused, release, releaseOf, told } from '../../../../test/simulation/core-replies.ts'
import { acquireOf, claimOf, World } from '../../../../test/simulation/core-world.ts'
import type { Acquire, Claim, Mode } from './model.ts'

const wait = { waitMs: null }
const permits = (count: number, limit: number, lock = 's') => claimOf(lock, { mode: 'permits', permits: count, limit })

test('who waits for permits waits for no holder as long as others who go on have enough', () => {
  const world = new World()
  const [a, b] = [world.open(), world.open()]
  granted(world.do(acquireOf(a, [permits(1, 3)])))
  const two = granted(world.do(acquireOf(b, [permits(2, 3)])))
  const second = queued(world.do(acquireOf(a, [permits(1, 3)], wait)))
  world.do(release(two))
  granted(told(world, second))
})

test('a permit that somebody outside the circle will give back opens it, though he waits himself', () => {
  const world = new World()
  const [a, b, c, d] = [world.open(), world.open(), world.open(), world.open()]
  granted(world.do(acquireOf(a, [permits(1, 2)])))
  granted(world.do(acquireOf(b, ['x'])))
  granted(world.do(acquireOf(c, [permits(1, 2)])))
  const last = granted(world.do(acquireOf(d, ['y'])))
  queued(world.do(acquireOf(c, ['y'], wait)))
  queued(world.do(acquireOf(a, ['x'], wait)))
  const asked = queued(world.do(acquireOf(b, [permits(1, 2)], wait)))
  world.do(release(last))
  assert.equal(told(world, asked), null, 'who has got what he waited for holds his permit on')
  world.do({ type: 'close_session', by: 'test', session: c })
  granted(told(world, asked))
})

test('permits that are all held within the circle are a deadlock, and so are two semaphores of one', () => {
  const world = new World()
  const [a, b] = [world.open(60_000, 'ann'), world.open(60_000, 'bob')]
  granted(world.do(acquireOf(a, [permits(1, 2)])))
  granted(world.do(acquireOf(b, [permits(1, 2)])))
  queued(world.do(acquireOf(a, [permits(1, 2)], wait)))
  const reply = world.do(acquireOf(b, [permits(1, 2)], wait))
  assert(reply.ok === false && reply.code === 'deadlock')
  assert.deepEqual(
    reply.cycle.map(({ waiter, lock, holder }) => [waiter, lock, holder]),
    [
      ['bob', 's', 'ann'],
      ['ann', 's', 'bob'],
    ],
  )
  const [c, d] = [world.open(), world.open()]
  granted(world.do(acquireOf(c, [permits(1, 1, 'one')])))
  granted(world.do(acquireOf(d, [permits(1, 1, 'two')])))
  queued(world.do(acquireOf(c, [permits(1, 1, 'two')], wait)))
  assert.equal(refused(world.do(acquireOf(d, [permits(1, 1, 'one')], wait))), 'deadlock')
})

test('more permits than there are beside one’s own are a deadlock of one', () => {
  const world = new World()
  const a = world.open()
  granted(world.do(acquireOf(a, [permits(2, 3)])))
  assert.equal(refused(world.do(acquireOf(a, [permits(2, 3)], wait))), 'deadlock')
})

test('a hand-over that closes a circle is looked at: of who is granted a lock and waits for another', () => {
  const world = new World()
  const [a, b, c] = [world.open(), world.open(), world.open()]
  const first = granted(world.do(acquireOf(c, ['x'])))
  granted(world.do(acquireOf(b, ['y'])))
  const next = queued(world.do(acquireOf(a, ['x'], wait)))
  queued(world.do(acquireOf(a, ['y'], wait)))
  const behind = queued(world.do(acquireOf(b, ['x'], wait)))
  world.do(release(first))
  granted(told(world, next))
  assert.equal(refused(told(world, behind)), 'deadlock')
})

test('so is a grant at once, of what is waited for as part of a set', () => {
  const world = new World()
  const [a, b, c] = [world.open(), world.open(), world.open()]
  granted(world.do(acquireOf(b, ['y'])))
  granted(world.do(acquireOf(c, ['z'])))
  const one = queued(world.do(acquireOf(a, ['y'], wait)))
  const set = queued(world.do(acquireOf(b, ['x', 'z'], { ...wait, priority: -1 })))
  granted(world.do(acquireOf(a, ['x'])))
  assert.equal(refused(told(world, set)), 'deadlock')
  assert.equal(told(world, one), null)
})

test('and a transfer, to a session that waits for who waits for the lock', () => {
  const world = new World()
  const [a, b, c] = [world.open(), world.open(), world.open()]
  const { token } = granted(world.do(acquireOf(c, ['x'])))
  granted(world.do(acquireOf(b, ['y'])))
  queued(world.do(acquireOf(a, ['y'], wait)))
  const behind = queued(world.do(acquireOf(b, ['x'], wait)))
  world.do({ type: 'transfer', by: 'test', session: c, lock: 'x', token, toSession: a, request: null })
  assert.equal(refused(told(world, behind)), 'deadlock')
})

type Task = { session: string; task: string }
type Holding = Task & { lock: string; mode: Mode; permits: number }
type Waiting = Task & { ticket: number; claims: readonly Claim[] }

const limits: Record<string, number> = { one: 1, two: 2, three: 3 }
const isSame = (one: Task, other: Task) => one.session === other.session && one.task === other.task

function fits(holdings: readonly Holding[], { lock, mode, permits: wanted }: Claim): boolean {
  const held = holdings.filter(holding => holding.lock === lock)
  if (mode === 'permits') return held.reduce((sum, holding) => sum + holding.permits, wanted) <= limits[lock]!
  return held.every(holding => mode === 'shared' && holding.mode === 'shared')
}

/** The tickets of those whom nobody who can go on will ever let go on. */
function stuckIn(held: readonly Holding[], line: readonly Waiting[]): number[] {
  let holdings = [...held]
  let waiting = [...line]
  for (let before = -1; before !== holdings.length + waiting.length; ) {
    before = holdings.length + waiting.length
    holdings = holdings.filter(holding => waiting.some(waiter => isSame(waiter, holding)))
    const passed = new Set<string>()
    for (const waiter of waiting) {
      const { session, task, claims } = waiter
      if (claims.every(claim => !passed.has(claim.lock) && fits(holdings, claim))) {
        waiting = waiting.filter(other => other !== waiter)
        for (const { lock, mode, permits: count } of claims)
          holdings.push({ session, task, lock, mode, permits: count })
        before = -1
      } else for (const { lock } of claims) passed.add(lock)
    }
  }
  return waiting.map(({ ticket }) => ticket)
}

const holdingsOf = (world: World): Holding[] =>
  [...world.state.locks.values()].flatMap(({ grants }) =>
    grants.map(({ session, task, lock, mode, permits: count }) => ({ session, task, lock, mode, permits: count })),
  )

const waitsOf = (world: World): Waiting[] =>
  [...world.state.tickets.values()]
    .sort((one, other) => one.rank - other.rank || one.ticket - other.ticket)
    .map(({ session, task, ticket, claims }) => ({ session, task, ticket, claims }))

const refusedIn = (world: World): number[] =>
  [...world.ends.values()].filter(({ why }) => why?.reason === 'deadlock').map(({ ticket }) => ticket)

type Step = { who: number; first: number; second: number; n: number }
const step = fc.record({ who: fc.nat(4), first: fc.nat(4), second: fc.nat(4), n: fc.nat(11) })
const names = ['x', 'y', 'one', 'two', 'three']

function claimsOf({ first, second, n }: Step): Claim[] {
  const chosen = n % 4 === 0 && first !== second ? [first, second] : [first]
  return chosen.map(index => {
    const lock = names[index]!
    const limit = limits[lock]
    if (limit === undefined) return claimOf(lock, { mode: n % 3 === 0 ? 'shared' : 'exclusive' })
    return permits(1 + (n % limit), limit, lock)
  })
}

/** What the step would do to who has not been told of a deadlock before; returns who has been now, and who is stuck without that. */
function take(world: World, { session, task }: Task, claims: Claim[]): { refused: number[]; stuck: number[] } {
  const [held, line, before] = [holdingsOf(world), waitsOf(world), refusedIn(world)]
  const asked: Partial<Acquire> = { waitMs: null, task }
  const next = world.state.lastNumber + 1
  world.do(acquireOf(session, claims, asked))
  return {
    refused: refusedIn(world).filter(ticket => !before.includes(ticket)),
    stuck: stuckIn(held, [...line, { session, task, claims, ticket: next }]),
  }
}

/** All who can go on give back what they hold, until nobody is left who holds anything. */
function goOn(world: World): void {
  for (let isOver = false; !isOver; ) {
    isOver = true
    for (const { grants } of [...world.state.locks.values()])
      for (const grant of [...grants]) {
        if (waitsOf(world).some(waiter => isSame(waiter, grant))) continue
        isOver = false
        world.do(releaseOf(grant.session, [grant]))
      }
  }
}

const RUNS = 1_500

test('where each task waits for one thing at a time, a deadlock is answered whenever there is one, and never else', () => {
  fc.assert(
    fc.property(fc.array(step, { minLength: 4, maxLength: 24 }), steps => {
      const world = new World({ isJudged: false })
      const sessions = Array.from({ length: 5 }, () => world.open(1e9))
      for (const one of steps) {
        const task = { session: sessions[one.who]!, task: '' }
        if (waitsOf(world).some(waiter => isSame(waiter, task))) continue
        const { refused: told, stuck } = take(world, task, claimsOf(one))
        assert.equal(told.length > 0, stuck.length > 0, `told ${told}, stuck ${stuck}`)
        for (const ticket of told) assert.ok(stuck.includes(ticket), `${ticket} was not stuck`)
      }
    }),
    { numRuns: RUNS },
  )
})

test('where a task waits for several things at once, nobody waits for ever, and who is refused would have', () => {
  fc.assert(
    fc.property(fc.array(step, { minLength: 4, maxLength: 24 }), steps => {
      const world = new World({ isJudged: false })
      const sessions = Array.from({ length: 3 }, () => world.open(1e9))
      for (const one of steps) {
        const { refused: told, stuck } = take(world, { session: sessions[one.who % 3]!, task: '' }, claimsOf(one))
        for (const ticket of told) assert.ok(stuck.includes(ticket), `${ticket} was not stuck`)
      }
      goOn(world)
      assert.deepEqual(waitsOf(world), [], 'nobody is left')
    }),
    { numRuns: RUNS },
  )
})
