/** A request that comes again: it has had its effect, and is answered with what is true of it now; one that only has its id is told so. */
import { strict as assert } from 'node:assert'
import { test } from 'node:test'
import { acquireOf, claimOf, World } from '../../../../test/simulation/core-world.ts'
import type { Command, GrantView, Reply } from './model.ts'
import { alreadySettled, usedOtherwise } from './requests.ts'

const by = 'test'
const wait = { waitMs: null }

function grantsOf(reply: Reply): GrantView[] {
  assert(reply.ok === true && reply.type === 'granted', `expected a grant, not ${JSON.stringify(reply)}`)
  return reply.grants
}

const releaseOf = (session: string, grants: { lock: string; token: number }[], request: number | null): Command => ({
  type: 'release',
  by,
  session,
  grants: grants.map(({ lock, token }) => ({ lock, token })),
  request,
})

test('a repeat in line must ask for all that was asked for, and as it was', () => {
  const world = new World()
  const [a, b] = [world.open(60_000), world.open(60_000)]
  grantsOf(world.do(acquireOf(a, ['x', 'y'])))
  const ask = (...claims: Parameters<typeof acquireOf>[1]) => world.do(acquireOf(b, claims, { ...wait, request: 1 }))
  const first = ask('x', 'y')
  assert.equal(first.ok, 'queued')
  assert.deepEqual(ask('y', 'x'), first, 'in which order does not matter')
  for (const other of [['x'], ['x', 'z'], ['x', claimOf('y', { mode: 'shared' })], ['x', 'y', 'z']])
    assert.deepEqual(ask(...other), usedOtherwise)
})

test('a repeat of what was granted must ask for all of it, though some is lost', () => {
  const world = new World()
  const a = world.open(60_000)
  const ask = (...locks: string[]) => world.do(acquireOf(a, locks, { request: 1 }))
  const grants = grantsOf(ask('x', 'y'))
  assert.deepEqual(ask('x', 'z'), usedOtherwise)
  world.do(releaseOf(a, grants.slice(1), 2))
  assert.deepEqual(ask('x', 'z'), usedOtherwise)
  const lost = ask('x', 'y')
  assert(lost.ok === false && lost.code === 'lock_lost')
})

test('a repeated release that names a grant of now is another release', () => {
  const world = new World()
  const a = world.open(60_000)
  const [x, y] = grantsOf(world.do(acquireOf(a, ['x', 'y'])))
  assert.equal(world.do(releaseOf(a, [x!, y!], 2)).ok, true)
  const [again] = grantsOf(world.do(acquireOf(a, ['x'])))
  assert.deepEqual(world.do(releaseOf(a, [again!, y!], 2)), usedOtherwise)
  assert.equal(world.state.grantCount, 1)
  assert.equal(world.do(releaseOf(a, [x!, y!], 2)).ok, true)
})

test('what is settled is said to be, whatever is asked under its id', () => {
  const world = new World()
  const [a, b] = [world.open(60_000), world.open(60_000)]
  const [x] = grantsOf(world.do(acquireOf(a, ['x'])))
  world.do({ type: 'renew', by, session: a, settled: 500 })
  const { token } = x!
  const asked: Command[] = [
    acquireOf(a, ['y'], { request: 7 }),
    releaseOf(a, [x!], 7),
    { type: 'write_value', by, session: a, lock: 'x', token, value: 'late', request: 7 },
    { type: 'transfer', by, session: a, lock: 'x', token, toSession: b, request: 7 },
  ]
  for (const command of asked) assert.deepEqual(world.do(command), alreadySettled, command.type)
  // What is not settled yet is the first that may be.
  assert.equal(world.do(acquireOf(a, ['y'], { request: 500 })).ok, true)
  const remembered = world.state.sessions.get(a)?.requests?.size
  assert.equal(world.do({ type: 'cancel', by, session: a, cancels: 7, request: null }).ok, true)
  assert.equal(world.state.sessions.get(a)?.requests?.size, remembered, 'a cancel of it is not remembered')
  assert.equal(world.state.grantCount, 2)
})

test('a cancel gives back all that its request was granted, and nothing else', () => {
  const world = new World()
  const a = world.open(60_000)
  grantsOf(world.do(acquireOf(a, ['other'], { request: 1 })))
  grantsOf(world.do(acquireOf(a, ['x', 'y'], { request: 2 })))
  assert.equal(world.do({ type: 'cancel', by, session: a, cancels: 2, request: 3 }).ok, true)
  assert.deepEqual(
    world.state.sessions.get(a)?.grants.map(({ lock }) => lock),
    ['other'],
  )
})
