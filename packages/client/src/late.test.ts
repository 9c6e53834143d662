import assert from 'node:assert/strict'
import { test } from 'node:test'
import { ClosedError } from './errors.ts'
import { turn } from './testing/clock.ts'
import { Script, wireGrant } from './testing/scripted.ts'

test('a grant that ends before it could ever be believed is told as lost, and not asked for again and again', async () => {
  const script = new Script()
  const acquiring = script.holdfast.acquire('a', { maxHoldMs: 100 })
  const lost = assert.rejects(acquiring, { name: 'LockLostError', reason: 'max_hold' })
  await script.welcome()
  await script.grant(7, { ends_in_ms: 100 })
  await lost
  await turn()
  assert.equal(script.connection.count('acquire'), 1)
  assert.equal(script.connection.last('release').token, 7)
})

test('what was handed over to a session that is being closed is not taken up', async () => {
  const script = new Script()
  const acquiring = script.holdfast.acquire('a')
  await script.welcome()
  await script.grant(7)
  await acquiring
  const refused = assert.rejects(script.holdfast.adopt('b'), ClosedError)
  await turn()
  const renewal = script.connection.last('renew')
  const closing = script.holdfast.close()
  await turn()
  const grants = [wireGrant('a', 7, 1), wireGrant('b', 8)]
  await script.connection.say({ type: 'reply', id: renewal.id, ttl_ms: 15_000, changes: 0, epoch: 1, grants })
  await refused
  await script.connection.say({ type: 'reply', id: script.connection.last('close').id })
  await closing
})
