import assert from 'node:assert/strict'
import { test } from 'node:test'
import { turn } from './testing/clock.ts'
import { holding, wireGrant } from './testing/scripted.ts'

test('a heartbeat goes out at a third of the TTL, and only when nothing else conferred time', async () => {
  const { script } = await holding()
  await script.clock.advance(4_000)
  const trying = script.holdfast.acquire('b')
  await turn()
  await script.grant(8)
  await trying
  await script.clock.advance(4_000)
  assert.equal(script.connection.count('renew'), 0)
  await script.clock.advance(1_100)
  assert.equal(script.connection.count('renew'), 1)
})

test('renewals extend belief; a silent connection is given up and the lock is at risk, then lost', async () => {
  const { script, lock } = await holding()
  const heard: string[] = []
  lock.on('atRisk', () => heard.push('atRisk'))
  lock.on('lost', error => heard.push(error.reason))
  await script.clock.advance(5_000)
  await script.renewed()
  assert.equal(Math.floor(lock.validForMs()), 12_022)
  await script.clock.advance(5_000)
  await script.clock.advance(5_000)
  assert.ok(script.connections.length > 1, 'connects again when nothing is heard')
  assert.deepEqual(heard, ['atRisk'])
  await script.clock.advance(3_000)
  assert.deepEqual(heard, ['atRisk', 'connection'])
})

test('a reply with unknown changes extends nothing until the list of grants has been taken over and acknowledged', async () => {
  const { script, lock } = await holding()
  await script.clock.advance(5_000)
  await script.renewed({ changes: 2 })
  assert.equal(Math.floor(lock.validForMs()), 7_022)
  const asked = script.connection.last('renew')
  assert.equal(asked.wants_grants, true)
  await script.renewed({ changes: 2, grants: [wireGrant('a', 7, 1)] })
  assert.equal(Math.floor(lock.validForMs()), 12_022)
  assert.equal(script.connection.last('renew').seen_changes, 2)
})

test('what the list lacks is lost; but not what arrived after it was asked for, which is asked for again', async () => {
  const { script, lock } = await holding()
  const acquiring = script.holdfast.acquire('b')
  await turn()
  await script.clock.advance(5_000)
  await script.renewed({ changes: 1 })
  const asked = script.connection.last('renew').id
  await script.grant(8, { changes: 1 })
  const late = await acquiring
  await script.connection.say({ type: 'reply', id: asked, ttl_ms: 15_000, changes: 1, grants: [] })
  assert.ok(lock.signal.aborted)
  assert.equal(late.signal.aborted, false)
  assert.equal(script.connection.last('renew').wants_grants, true)
  await script.renewed({ changes: 1, grants: [] })
  assert.ok(late.signal.aborted)
})
