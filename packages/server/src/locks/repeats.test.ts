/** A request that comes again: it has had its effect, and is answered with what is true of it now; one that only has its id is told so. */
import { strict as assert } from 'node:assert'
import { test } from 'node:test'
import {
  granted,
  grantsOf,
  queued,
  refused,
  release,
  releaseOf,
  told,
} from '../../../../test/simulation/core-replies.ts'
import { acquireOf, claimOf, World } from '../../../../test/simulation/core-world.ts'
import type { Command } from './model.ts'
import { alreadySettled, usedOtherwise } from './requests.ts'

const by = 'test'
const wait = { waitMs: null }

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
  const token = granted(told(world, ticket)).token
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

test('a cancel that is repeated ends nothing that another request has entered since', () => {
  const world = new World()
  const session = world.open()
  const enter = (request: number) => granted(world.do(acquireOf(session, ['x'], { isReentrant: true, request })))
  enter(1)
  enter(2)
  const cancel: Command = { type: 'cancel', by: 'test', session, cancels: 1, request: 3 }
  for (let times = 0; times < 2; times++) {
    world.do(cancel)
    assert.equal(world.state.locks.get('x')?.grants[0]?.count, 1)
  }
})

test('a cancel that names the id of a release leaves the repeat of that release what it was', () => {
  const world = new World()
  const session = world.open()
  const grant = granted(world.do(acquireOf(session, ['x'], { request: 'asked' })))
  const left = world.do(release(grant, 'left'))
  world.do({ type: 'cancel', by: 'test', session, cancels: 'left', request: null })
  assert.deepEqual(world.do(release(grant, 'left')), left)
})
