/** The session that `/v1` makes for one grant: nothing else is ever done in its name, and it ends with its grant. */
import { strict as assert } from 'node:assert'
import { test } from 'node:test'
import { granted, queued, refused } from '../../../../test/simulation/core-replies.ts'
import { acquireOf, singleOf, World } from '../../../../test/simulation/core-world.ts'
import type { Command } from './model.ts'

const by = 'test'

test('whoever has the session of a `/v1` grant can do nothing of `/v2` in its name', () => {
  const world = new World()
  const { session, token } = granted(world.do(singleOf('a')))
  const other = world.open()
  const asked: Command[] = [
    acquireOf(session, ['b'], { request: 1 }),
    acquireOf(session, ['b'], { request: 2, waitMs: 1_000 }),
    { type: 'renew', by, session },
    { type: 'release', by, session, grants: [{ lock: 'a', token }], request: 3 },
    { type: 'cancel', by, session, cancels: 1, request: 4 },
    { type: 'transfer', by, session, lock: 'a', token, toSession: other, request: 5 },
    { type: 'write_value', by, session, lock: 'a', token, value: 'x', request: 6 },
    { type: 'close_session', by, session },
  ]
  for (const command of asked) assert.equal(refused(world.do(command)), 'not_found', command.type)
  assert.equal(world.do({ type: 'release_single', by, session, lock: 'a' }).ok, true)
  assert.equal(world.state.locks.get('a'), undefined)
  assert.equal(world.state.locks.get('b'), undefined)
})

test('a repeat under the key of a wait proves that its session lives', () => {
  const world = new World()
  granted(world.do(acquireOf(world.open(1e9), ['a'])))
  const wait = { ...singleOf('a', 'k'), waitMs: 60_000 } as Command
  const ticket = queued(world.do(wait))
  assert.equal(queued(world.do(wait)), ticket)
})
