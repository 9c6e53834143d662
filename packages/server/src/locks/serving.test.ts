/** Who is served when somebody goes, who is in whose way, and what a session that gives back may take again: found missing by mutation testing. */
import { strict as assert } from 'node:assert'
import { test } from 'node:test'
import { SESSION_ENDING_BYTES_MAX } from '@holdfast/protocol/limits'
import { grantsOf, queued, releaseOf, tokenOf } from '../../../../test/simulation/core-replies.ts'
import { acquireOf, claimOf, World } from '../../../../test/simulation/core-world.ts'
import type { Acquire } from './model.ts'

const by = 'test'
const wait = { waitMs: null }
const single: Acquire['session'] = { ttlMs: 60_000, defaultTtlMs: 60_000, holder: 'v1', key: null }
const shared = (lock: string) => [claimOf(lock, { mode: 'shared' })]

/** Whoever holds the lock, in the order of their tokens. */
const holders = (world: World, lock: string) => world.state.locks.get(lock)?.grants.map(({ session }) => session) ?? []

test('who waits is served when a session that was made for one grant gives it back', () => {
  const world = new World({ isJudged: false })
  tokenOf(world.do(acquireOf(single, ['x'])))
  const [first = ''] = holders(world, 'x')
  const next = world.open()
  queued(world.do(acquireOf(next, ['x'], wait)))
  world.do({ type: 'release_single', by, session: first, lock: 'x' })
  assert.deepEqual(holders(world, 'x'), [next])
})

test('who stands behind a wait that is cancelled moves up, and is served if that was all that kept it', () => {
  const world = new World({ isJudged: false })
  const [reader, writer, behind] = [world.open(), world.open(), world.open()]
  tokenOf(world.do(acquireOf(reader, shared('x'))))
  queued(world.do(acquireOf(writer, ['x'], { ...wait, request: 1 })))
  queued(world.do(acquireOf(behind, shared('x'), wait)))
  world.do({ type: 'cancel', by, session: writer, cancels: 1, request: 2 })
  assert.deepEqual(holders(world, 'x').sort(), [reader, behind].sort())
})

test('what is given back, or waited for no more, counts no more among the names that a session may have', () => {
  const world = new World({ isJudged: false })
  const [own, other] = [world.open(), world.open()]
  const name = 'n'.repeat(500)
  // Three bytes a unit, twice: more than all that a session may have at once, several times over.
  const times = Math.ceil((3 * SESSION_ENDING_BYTES_MAX) / (name.length * 6))
  const kept = tokenOf(world.do(acquireOf(other, [`${name}/held`])))
  for (let count = 0; count < times; count++) {
    world.do(releaseOf(own, grantsOf(world.do(acquireOf(own, [name])))))
    const waiting = queued(world.do(acquireOf(own, [`${name}/held`], { waitMs: 1, request: count + 1 })))
    world.pass(1)
    world.do({ type: 'end_wait', by, ticket: waiting })
    world.do({ type: 'renew', by, session: own })
    world.do({ type: 'renew', by, session: other })
  }
  assert.ok(kept > 0)
})

test('the shorter of two longest holds counts: the one that is asked for, or that of the lock', () => {
  const world = new World({ isJudged: false })
  const session = world.open(60_000)
  const fields = { maxHoldMs: 2_000 }
  for (const lock of ['long', 'short'])
    world.do({ type: 'configure', by, lock, fields, replaces: false, ifVersion: null })
  const ends = ([lock, maxHoldMs]: [string, number | null]) => {
    const reply = world.do(acquireOf(session, [claimOf(lock, { maxHoldMs })]))
    assert.ok(reply.ok === true && reply.type === 'granted')
    return reply.grants[0]!.endsInMs
  }
  assert.deepEqual(
    [['long', 5_000] as const, ['short', 500] as const].map(([lock, ms]) => ends([lock, ms])),
    [2_000, 500],
  )
})

test('a reader who waits behind a writer is not in the way of a reader who holds', () => {
  const world = new World({ isJudged: false })
  const [a, b] = [world.open(), world.open()]
  tokenOf(world.do(acquireOf(a, shared('x'))))
  tokenOf(world.do(acquireOf(b, ['y'])))
  tokenOf(world.do(acquireOf(b, shared('x'))))
  queued(world.do(acquireOf(a, ['y'], wait)))
  // It is a reader of what a reader holds: nobody has to go first.
  tokenOf(world.do(acquireOf(b, shared('x'), { task: 'another' })))
})

test('what another task of the holder waits for makes no circle', () => {
  const world = new World({ isJudged: false })
  const [a, b] = [world.open(), world.open()]
  tokenOf(world.do(acquireOf(a, ['x'])))
  tokenOf(world.do(acquireOf(b, ['y'], { task: 'holds' })))
  queued(world.do(acquireOf(b, ['x'], { ...wait, task: 'waits' })))
  queued(world.do(acquireOf(a, ['y'], wait)))
})

test('a lock that is waited for as an ordinary one, and held by nobody, does not become a semaphore', () => {
  const world = new World({ isJudged: false })
  const [a, b] = [world.open(), world.open()]
  const held = grantsOf(world.do(acquireOf(a, ['x'])))
  tokenOf(world.do(acquireOf(a, ['y'])))
  queued(world.do(acquireOf(b, ['x', 'y'], wait)))
  world.do(releaseOf(a, held))
  const permits = [claimOf('x', { mode: 'permits', permits: 1, limit: 2 })]
  const asked = world.do(acquireOf(a, permits))
  assert.ok(asked.ok === false && asked.code === 'invalid_request', JSON.stringify(asked))
  const limited = world.do({ type: 'configure', by, lock: 'x', fields: { limit: 2 }, replaces: false, ifVersion: null })
  assert.ok(limited.ok === false && limited.code === 'invalid_request' && limited.field === 'limit')
})
