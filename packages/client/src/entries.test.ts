/** Locks that are entered more than once, or handed on: what nobody here believes in is given back as often as it was entered, and no more often. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { turn } from './testing/clock.ts'
import { holding } from './testing/scripted.ts'

test('a lock that was entered twice and is lost is given back twice', async () => {
  const { script, lock } = await holding()
  const entering = script.holdfast.acquire('a', { reentrant: true })
  await turn()
  await script.grant(7)
  await entering
  await script.clock.advance(13_000)
  assert.equal(lock.isHeld, false)
  await script.welcome()
  assert.equal(script.connection.count('release'), 2)
})

test('an entry that was given up does not end the one before it, whichever of its answer and the cancel is first', async () => {
  const { script, lock } = await holding()
  const controller = new AbortController()
  const entering = script.holdfast.acquire('a', { reentrant: true, signal: controller.signal })
  await turn()
  const { id } = script.connection.last('acquire')
  controller.abort(new Error('enough'))
  await assert.rejects(entering, /enough/)
  await turn()
  await script.connection.say(script.granted({ id, name: 'a', token: 7 }))
  await turn()
  assert.equal(script.connection.count('release'), 0)
  assert.ok(lock.isHeld)
})

test('a transfer of unknown outcome is not believed again, and given back if it was none', async () => {
  const { script, lock } = await holding()
  const handing = lock.transfer('s-2')
  const outcome = assert.rejects(handing, { code: 'unavailable' })
  await turn()
  for (let second = 0; second < 11; second++) await script.clock.advance(1_000)
  await outcome
  assert.equal(lock.isHeld, false)
  assert.ok(lock.signal.aborted)
  await script.welcome()
  assert.equal(script.connection.count('release'), 1)
})
