import assert from 'node:assert/strict'
import { test } from 'node:test'
import { acquireOf, claimOf } from '../../../../test/simulation/core-world.ts'
import { startServer } from '../shards/testing.ts'
import { forgetInstance } from './forgetting.ts'

const instance = 'main'
const by = { subject: 'ann', from: '', trace: '' }
const HOUR_MS = 3_600_000

test('of an instance that goes for good nothing is left: no delay, no line, no value, no freeze', async () => {
  const { server, clock } = await startServer()
  const [short, long] = [await server.session(1_000), await server.session(HOUR_MS)]
  await server.ask(acquireOf(short, [claimOf('delayed', { lockDelayMs: HOUR_MS })], { value: 'kept' }))
  await clock.pass(2_000)
  await server.grant(long, 'b')
  // It waits for `b`, and stands in the line of `a` too.
  server.tell(acquireOf(await server.session(HOUR_MS), ['a', 'b'], { waitMs: null }))
  await server.grant(long, 'cold')
  server.tell(acquireOf(await server.session(HOUR_MS), ['cold'], { waitMs: null }))
  await server.ask({
    type: 'freeze',
    by: 'ann',
    prefix: 'cold',
    untilAt: clock.wallMs() + 1_000 * HOUR_MS,
    reason: 'r',
  })
  const forgotten = forgetInstance(server.shards, instance, by)
  let isDone = false
  void forgotten.then(() => {
    isDone = true
  })
  for (let turn = 0; turn < 100 && !isDone; turn++) await clock.settle()
  await forgotten
  const locks = await server.ask({ type: 'list', by: 'ann', prefix: '', after: null, limit: 10 })
  const freezes = await server.ask({ type: 'list_freezes', by: 'ann' })
  assert.ok(locks.ok === true && locks.type === 'locks' && freezes.ok === true && freezes.type === 'freezes')
  assert.deepEqual([locks.locks, freezes.freezes], [[], []])
  const closed = server.shards.close()
  await clock.settle()
  await closed
})
