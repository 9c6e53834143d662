/** Locks that are entered more than once, or handed on: what nobody here believes in is given back as often as it was entered, and no more often. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { turn } from './testing/clock.ts'
import { holding, wireGrant } from './testing/scripted.ts'

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

test('on resume, a grant whose cancel is on its way is not given back beside it: another may have entered it', async () => {
  for (const isEntered of [true, false]) {
    const { script } = await holding()
    const controller = new AbortController()
    const waiting = script.holdfast.acquire('b', { signal: controller.signal })
    await turn()
    const { id } = script.connection.last('acquire')
    controller.abort(new Error('enough'))
    await assert.rejects(waiting, /enough/)
    if (isEntered) void script.holdfast.acquire('b', { reentrant: true })
    await turn()
    await script.connection.cut()
    await script.clock.advance(200)
    await script.welcome({ grants: [wireGrant('a', 7, 1), wireGrant('b', 8, id)] })
    assert.equal(script.connection.count('cancel'), 1)
    assert.equal(script.connection.count('release'), 0)
  }
})

test('on resume, what was entered is not given back as long as the answer to the entry is to come, or to its cancel', async () => {
  for (const isGivenUp of [false, true]) {
    const { script, lock } = await holding()
    const controller = new AbortController()
    const entering = script.holdfast.acquire('a', { reentrant: true, signal: controller.signal })
    entering.catch(() => {})
    await turn()
    const entry = script.connection.last('acquire')
    const releasing = lock.release()
    await turn()
    await script.connection.say({
      ...{ type: 'reply', id: script.connection.last('release').id, changes: 0 },
      ...{ released: false, count: 1 },
    })
    await releasing
    if (isGivenUp) {
      controller.abort(new Error('enough'))
      await turn()
      await script.connection.say(script.granted({ id: entry.id, name: 'a', token: 7 }))
    }
    await script.connection.cut()
    await script.clock.advance(200)
    await script.welcome({ grants: [wireGrant('a', 7, 1)] })
    assert.equal(script.connection.count('release'), 0)
  }
})
