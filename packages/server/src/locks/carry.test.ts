/** Which batch a record stands in: what is counted wrongly is lost with a batch that goes, or keeps it for ever. */
import { strict as assert } from 'node:assert'
import { test } from 'node:test'
import { acquireOf, picture, World } from '../../../../test/simulation/core-world.ts'
import { carry, liveIn, recordsBefore, restamp } from './carry.ts'
import { decide } from './decide.ts'
import type { Command } from './model.ts'

const by = 'test'
const settledOf = (session: string, settled: number): Command => ({ type: 'renew', by, session, settled })

/** A world in which each step is looked at: counts, and that the log alone brings it back. */
function watched() {
  const world = new World()
  const look = () => {
    world.checkLive()
    assert.deepEqual(picture(world.replay()), picture(world.state))
  }
  const act = (command: Command) => {
    const reply = world.do(command)
    look()
    return reply
  }
  const clean = (count: number) => {
    world.clean(count)
    look()
  }
  return { world, act, clean }
}

test('what is remembered of requests is counted with its batch, carried, and gone when it is settled', () => {
  const { world, act, clean } = watched()
  const a = world.open(60_000)
  const release = (lock: string, token: number, request: number) =>
    act({ type: 'release', by, session: a, grants: [{ lock, token }], request })
  for (let request = 1; request <= 9; request += 2) {
    const reply = act(acquireOf(a, ['x', 'y'], { request }))
    assert(reply.ok === true && reply.type === 'granted')
    const [x, y] = reply.grants
    release('x', x!.token, request + 1)
    if (request < 9) release('y', y!.token, request + 1_000)
  }
  const reply = act({ type: 'cancel', by, session: a, cancels: 50, request: null })
  assert.equal(reply.ok, true)
  const size = () => world.state.sessions.get(a)!.requests!.size
  const before = size()
  clean(4)
  clean(3)
  assert.equal(size(), before)
  act(settledOf(a, 500))
  // Those from 1,001 on.
  assert.equal(size(), 4)
  clean(5)
  act(settledOf(a, 5_000))
  assert.equal(size(), 0)
  clean(100)
  act({ type: 'close_session', by, session: a })
  clean(100)
  assert.equal(
    world.log.reduce((sum, { seq }) => sum + liveIn(world.state, seq), 0),
    0,
  )
})

test('the result of a request that is asked again takes the place of the one before', () => {
  const { world, act } = watched()
  const a = world.open(60_000)
  // A cancel that comes before what it cancels, and again.
  for (let time = 0; time < 3; time++) act({ type: 'cancel', by, session: a, cancels: 5, request: null })
  assert.equal(world.state.sessions.get(a)!.requests!.size, 1)
})

test('an entry that goes into a later batch takes all with it that it has set', () => {
  const world = new World()
  const a = world.open(60_000)
  const { state } = world
  for (const command of [acquireOf(a, ['x'], { request: 1 }), settledOf(a, 500), settledOf(a, 1_000)]) {
    const seq = ++state.seq
    const { entries } = decide(state, command, { now: world.now, at: 0 })
    const count = liveIn(state, seq)
    assert.ok(count > 0)
    for (const entry of entries) restamp(state, entry, seq + 100)
    assert.deepEqual([liveIn(state, seq), liveIn(state, seq + 100)], [0, count], command.type)
  }
})

test('what has changed or ended since a pass came to it is not carried', () => {
  const { world, act } = watched()
  const [a, b, c] = [world.open(60_000), world.open(60_000), world.open(60_000)]
  const reply = act(acquireOf(a, ['x', 'y'], { request: 1 }))
  assert(reply.ok === true && reply.type === 'granted')
  act(settledOf(a, 500))
  const before = world.state.seq + 1
  const found = [...recordsBefore(world.state, before)]
  // The grant of x and session b end; session a and what is settled in it are set anew. The rest stays.
  act({ type: 'release', by, session: a, grants: [{ lock: 'x', token: reply.grants[0]!.token }], request: 501 })
  act({ type: 'renew', by, session: a, ttlMs: 90_000, settled: 1_000 })
  act({ type: 'close_session', by, session: b })
  const carried = (seq: number) => found.filter(entry => carry(world.state, entry, { before, seq }))
  const names = carried(before + 100).map(entry => {
    if (entry.record === 'grant') return entry.lock
    assert(entry.record === 'session')
    return entry.session
  })
  assert.deepEqual(names.sort(), [c, 'y'].sort())
  assert.deepEqual(carried(before + 200), [], 'a record is carried once')
})
