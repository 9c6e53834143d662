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

test('an answer that was on its way for long takes nothing back of what has been heard since, and acknowledged', async () => {
  const script = new Script()
  const acquiring = script.holdfast.acquire('a', { maxHoldMs: 60_000 })
  await script.welcome()
  await script.grant(7, { ends_in_ms: 60_000 })
  const lock = await acquiring
  const entering = script.holdfast.acquire('a', { reentrant: true })
  await turn()
  const { id } = script.connection.last('acquire')
  await script.connection.say({
    type: 'preempting',
    name: 'a',
    token: 7,
    by: 'x',
    reason: 'r',
    grace_ms: 5_000,
    changes: 1,
  })
  const ending = { ...wireGrant('a', 7, 1), ends_in_ms: 5_000, notice: { by: 'x', reason: 'r' } }
  await script.renewed({ changes: 1, epoch: 1, grants: [ending] })
  assert.equal(
    script.connection.last('renew').seen_changes,
    1,
    'it is acknowledged, and the next may have it at its end',
  )
  const before = lock.validForMs()
  await script.connection.say(script.granted({ id, name: 'a', token: 7, changes: 0, ends_in_ms: 59_000 }))
  const entry = await entering
  assert.deepEqual([lock.validForMs(), entry.validForMs()], [before, before])
})

test('a list that was on its way for long takes nothing back either, and is nobody’s list', async () => {
  const { script, lock } = await holding()
  const asked = script.holdfast.adopt('gift')
  await turn()
  const old = script.connection.last('renew').id
  const ending = { ...wireGrant('a', 7, 1), ends_in_ms: 5_000, notice: { by: 'x', reason: 'r' } }
  await script.connection.say({
    type: 'preempting',
    name: 'a',
    token: 7,
    by: 'x',
    reason: 'r',
    grace_ms: 5_000,
    changes: 1,
  })
  assert.equal(script.connection.last('renew').id, old, 'a list is under way')
  const list = (id: number, changes: number, grants: object[]) =>
    script.connection.say({ type: 'reply', id, ttl_ms: 15_000, changes, epoch: 1, grants } as never)
  await list(old, 1, [ending])
  const late = script.holdfast.adopt('gift')
  await turn()
  const { id } = script.connection.last('renew')
  const before = lock.validForMs()
  await list(id, 0, [wireGrant('a', 7, 1), wireGrant('gift', 9)])
  assert.equal(lock.validForMs(), before)
  const next = script.connection.last('renew')
  assert.ok(next.id > id && next.wants_grants)
  await list(next.id, 1, [ending])
  assert.deepEqual([await asked, await late], [null, null])
})
