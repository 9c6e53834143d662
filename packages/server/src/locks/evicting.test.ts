/** A subject that may do nothing any more: what its sessions hold and wait for ends. */
import { strict as assert } from 'node:assert'
import { test } from 'node:test'
import { queued, told } from '../../../../test/simulation/core-replies.ts'
import { acquireOf, World } from '../../../../test/simulation/core-world.ts'

const reason = 'The credential has been revoked.'

function openAs(world: World, by: string, ttlMs: number): string {
  const reply = world.do({ type: 'open_session', by, ttlMs, labels: null })
  assert(reply.ok === true && reply.type === 'session')
  return reply.session.id
}

test('its grants end by force, so the next ones wait for what was promised; its waits end at once; others keep theirs', () => {
  const world = new World()
  const [ann, more, bob] = [openAs(world, 'ann', 5_000), openAs(world, 'ann', 5_000), openAs(world, 'bob', 60_000)]
  assert.equal(world.do(acquireOf(ann, ['x'])).ok, true)
  assert.equal(world.do(acquireOf(bob, ['y'])).ok, true)
  const ticket = queued(world.do(acquireOf(bob, ['x'], { waitMs: null })))
  queued(world.do(acquireOf(more, ['y'], { waitMs: null })))
  // What follows is not done yet: whoever asks again hears that it is.
  const left = () => world.do({ type: 'evict', by: 'service', subject: 'ann', reason })
  assert.deepEqual(left(), { ok: true, type: 'released', left: 2, confers: null })
  assert.deepEqual(left(), { ok: true, type: 'released', left: 0, confers: null })
  assert.equal(world.state.locks.get('y')?.queue.length, 0)
  assert.equal(world.state.locks.get('y')?.grants.length, 1)
  world.pass(4_999)
  assert.equal(told(world, ticket), null, 'ann may believe that she holds it')
  world.pass(1)
  assert.equal(told(world, ticket)?.ok, true)
})

test('of keys that share a subject one loses what it has opened; who opened what is not said is left to whoever else has the subject', () => {
  const world = new World()
  const opened = (credential?: string) => {
    const reply = world.do({
      type: 'open_session',
      by: 'ann',
      ttlMs: 60_000,
      labels: null,
      ...(credential && { credential }),
    })
    assert(reply.ok === true && reply.type === 'session')
    assert.equal(world.do(acquireOf(reply.session.id, [credential ?? 'unsaid'])).ok, true)
  }
  for (const credential of ['old', 'new', undefined]) opened(credential)
  const held = () => ['new', 'old', 'unsaid'].filter(lock => world.state.locks.get(lock)?.grants.length)
  const evict = { type: 'evict', by: 'service', subject: 'ann', reason } as const
  world.do({ ...evict, subject: 'bob', credential: 'new' })
  world.do({ ...evict, credential: 'old', isShared: true })
  assert.deepEqual(held(), ['new', 'unsaid'])
  world.do({ ...evict, credential: 'other' })
  assert.deepEqual(held(), ['new'])
  world.do(evict)
  assert.deepEqual(held(), [], 'as older servers ask')
})

test('a subject with too much for one turn is evicted in several', () => {
  const world = new World({ isJudged: false })
  const session = openAs(world, 'ann', 60_000)
  const other = openAs(world, 'ann', 60_000)
  for (const [owner, prefix] of [
    [session, 'a'],
    [other, 'b'],
  ] as const)
    for (let index = 0; index < 600; index++) world.do(acquireOf(owner, [`${prefix}${index}`]))
  const evict = { type: 'evict', by: 'service', subject: 'ann', reason } as const
  const left = () => {
    const reply = world.do(evict)
    assert(reply.ok === true && reply.type === 'released')
    return [reply.left, world.state.grantCount]
  }
  assert.deepEqual(
    [left(), left(), left()],
    [
      [1_200, 200],
      [200, 0],
      [0, 0],
    ],
  )
})
