/** What the library believes of what it hears, beyond the ways of a session (session.test.ts): from whom, of when, and what of it proves anything. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { turn } from './testing/clock.ts'
import { holding, Script, wireGrant } from './testing/scripted.ts'

const EPOCH = 2 ** 32

test('a reply of an earlier epoch than one that was seen extends nothing', async () => {
  const { script, lock } = await holding(3 * EPOCH + 7)
  await script.clock.advance(5_000)
  await script.renewed({ epoch: 4 })
  assert.equal(Math.floor(lock.validForMs()), 12_022)
  await script.clock.advance(5_000)
  // Of a former owner, which does not know that it is one: this side looks for another.
  await script.renewed({ epoch: 3 })
  assert.equal(Math.floor(lock.validForMs()), 7_022)
  assert.equal(script.connection.isClosed, true)
  await script.clock.advance(200)
  await script.welcome({ grants: [wireGrant('a', 3 * EPOCH + 7, 1)] })
  await script.renewed({ epoch: 4, grants: [wireGrant('a', 3 * EPOCH + 7, 1)] })
  assert.ok(lock.validForMs() > 12_000)
})

test('a repeat that finds a grant of a former owner hands it out, and extends nothing', async () => {
  const { script, lock } = await holding(4 * EPOCH + 7)
  const acquiring = script.holdfast.acquire('b')
  await turn()
  const { id } = script.connection.last('acquire')
  await script.connection.cut()
  await script.clock.advance(200)
  await script.welcome({ grants: [wireGrant('a', 4 * EPOCH + 7, 1), wireGrant('b', 3 * EPOCH + 9, id)] })
  const before = lock.validForMs()
  await script.connection.say(script.granted({ id, name: 'b', token: 3 * EPOCH + 9 }))
  const late = await acquiring
  assert.equal(late.token, 3 * EPOCH + 9)
  assert.equal(late.validForMs(), before, 'no longer than what was proven before')
  assert.equal(script.connection.isClosed, false)
})

test('another session begins with another count of epochs', async () => {
  const { script } = await holding(9 * EPOCH + 7)
  await script.connection.cut()
  await script.clock.advance(200)
  script.connection.open()
  await script.connection.say({ type: 'reply', id: 0, error: { code: 'not_found', message: 'No such session.' } })
  await script.clock.advance(200)
  // A store that was made anew counts from 1.
  await script.welcome({ session: 's-2' })
  const acquiring = script.holdfast.acquire('b')
  await turn()
  await script.grant(EPOCH + 1)
  assert.equal(Math.floor((await acquiring).validForMs()), 12_022)
})

test('the answer to a repeat confers no time unless it says of which epoch it is', async () => {
  const { script, lock } = await holding(7)
  const other = script.holdfast.acquire('b')
  await turn()
  await script.grant(8)
  await script.clock.advance(3_000)
  const releasing = (await other).release()
  await turn()
  await script.connection.cut()
  await script.clock.advance(200)
  await script.welcome({ grants: [wireGrant('a', 7, 1)] })
  const before = lock.validForMs()
  const { id } = script.connection.last('release')
  await script.connection.say({ type: 'reply', id, released: true, count: 0, ttl_ms: 15_000, changes: 0 })
  await releasing
  assert.equal(lock.validForMs(), before)
})

test('neither a welcome nor a push confers time', async () => {
  const { script, lock } = await holding(7)
  await script.clock.advance(3_000)
  await script.connection.cut()
  await script.clock.advance(1_000)
  const before = lock.validForMs()
  await script.welcome({ grants: [wireGrant('a', 7, 1)] })
  assert.equal(lock.validForMs(), before)
  await script.connection.say({ type: 'expiring', name: 'a', token: 7, ends_in_ms: 60_000 })
  await script.connection.say({ type: 'received', name: 'gift', token: 9, changes: 0 })
  assert.equal(lock.validForMs(), before)
})

test('a wait counts from the first sending, not from that of a repeat', async () => {
  const script = new Script()
  const acquiring = script.holdfast.acquire('a')
  await script.welcome()
  const { id } = script.connection.last('acquire')
  await script.connection.say({ type: 'queued', id, position: 1 })
  await script.clock.advance(11_000)
  await script.connection.cut()
  await script.clock.advance(200)
  await script.welcome({ grants: [] })
  await script.grant(7, { waited_ms: 11_000 })
  // 12,022 from the repeat; the wait reaches less far, as it began 11,200 ms ago.
  assert.equal(Math.floor((await acquiring).validForMs()), 12_022)
})

test('a lock that is being handed over is not believed in, and is again when that is refused', async () => {
  const { script, lock } = await holding(7)
  const refused = lock.transfer('s-9')
  refused.catch(() => {})
  assert.equal(lock.validForMs(), 0)
  assert.throws(() => lock.assertHeld())
  await turn()
  const { id } = script.connection.last('transfer')
  await script.connection.say({ type: 'reply', id, error: { code: 'invalid_request', message: 'no such session' } })
  await assert.rejects(refused)
  assert.ok(lock.isHeld)
  const handed = lock.transfer('s-2')
  assert.equal(lock.isHeld, false)
  await turn()
  await script.connection.say({ type: 'reply', id: script.connection.last('transfer').id, token: 8 })
  assert.equal(await handed, 8)
  assert.equal(lock.isHeld, false)
})
