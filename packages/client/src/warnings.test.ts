import assert from 'node:assert/strict'
import { test } from 'node:test'
import { HeldTooShortlyError, LockLostError } from './errors.ts'
import { Script, wireGrant } from './testing/scripted.ts'

async function holding(more: { ends_in_ms?: number } = {}) {
  const script = new Script()
  const acquiring = script.holdfast.acquire('a')
  await script.welcome()
  await script.grant(7, more)
  return { script, lock: await acquiring }
}

const notice = {
  type: 'preempting' as const,
  name: 'a',
  token: 7,
  by: 'ops',
  reason: 'a deploy',
  grace_ms: 2_000,
  changes: 1,
}

test('when a holder hears of a notice, what it may rely on is already shorter', async () => {
  const { script, lock } = await holding()
  const heard: number[] = []
  lock.on('preempting', () => heard.push(Math.floor(lock.validForMs())))
  await script.connection.say(notice)
  // 2,000 less what clocks may be apart, less the guard.
  assert.deepEqual(heard, [1_386])
  await script.clock.advance(1_400)
  assert.ok(lock.signal.aborted)
})

test('a notice shortens what is believed and never prolongs it', async () => {
  const { script, lock } = await holding({ ends_in_ms: 2_000 })
  await script.connection.say({ ...notice, grace_ms: 60_000 })
  assert.equal(Math.floor(lock.validForMs()), 1_386)
})

test('what a push has shortened, the list of grants corrects', async () => {
  const { script, lock } = await holding()
  await script.connection.say({ ...notice, grace_ms: 1_000 })
  const grant = { ...wireGrant('a', 7), ends_in_ms: 5_000, notice: { by: 'ops', reason: 'a deploy' } }
  await script.renewed({ changes: 1, grants: [grant] })
  assert.equal(Math.floor(lock.validForMs()), 3_840)
})

test('who preempted a holder that was told, and why, is in the error of the loss', async () => {
  const { script, lock } = await holding()
  await script.connection.say(notice)
  await script.connection.say({ type: 'lost', name: 'a', token: 7, reason: 'preempted', changes: 2 })
  const error = lock.signal.reason
  assert.ok(error instanceof LockLostError)
  assert.deepEqual(error.notice, { by: 'ops', reason: 'a deploy' })
  assert.match(error.message, /ops took it \(a deploy\)/)
})

test('who preempted a holder that was not told is not guessed at', async () => {
  const { script, lock } = await holding()
  await script.connection.say({ type: 'lost', name: 'a', token: 7, reason: 'preempted', changes: 1 })
  assert.match(lock.signal.reason.message, /a request of higher priority, or an operator, took it/)
  assert.equal(lock.signal.reason.notice, null)
})

test('a notice is not blamed for another end', async () => {
  const { script, lock } = await holding()
  await script.connection.say(notice)
  await script.connection.say({ type: 'lost', name: 'a', token: 7, reason: 'forced', changes: 2 })
  assert.match(lock.signal.reason.message, /an operator ended it by force/)
  assert.equal(lock.signal.reason.notice, null)
})

test('assertHeld of a held lock says for how long it is held, and that nothing is lost', async () => {
  const { lock } = await holding()
  assert.throws(
    () => lock.assertHeld(999_999),
    (error: unknown) => {
      assert.ok(error instanceof HeldTooShortlyError && !(error instanceof LockLostError))
      assert.equal(error.code, 'precondition_failed')
      assert.deepEqual([error.validForMs, error.minMs], [12_022, 999_999])
      assert.match(
        error.message,
        /is held, and can be relied on for 12022 ms, not for 999999 ms: with a ttlMs of 15000/,
      )
      return true
    },
  )
  assert.doesNotThrow(() => lock.assertHeld(12_000))
})

test('assertHeld under notice says who is to have the lock', async () => {
  const { script, lock } = await holding()
  await script.connection.say(notice)
  assert.throws(() => lock.assertHeld(5_000), {
    name: 'HeldTooShortlyError',
    message: /for 1386 ms, not for 5000 ms: ops is to have it \(a deploy\)/,
  })
})

test('a longest hold is believed up to the margins of the clocks, and its holder is warned before', async () => {
  const { script, lock } = await holding({ ends_in_ms: 5_000 })
  const heard: object[] = []
  lock.on('expiring', ({ endsInMs }) => heard.push({ endsInMs: Math.floor(endsInMs) }))
  lock.on('lost', ({ reason }) => heard.push({ reason }))
  assert.equal(Math.floor(lock.validForMs()), 3_840)
  await script.clock.advance(2_500)
  assert.deepEqual(heard, [])
  await script.clock.advance(100)
  assert.deepEqual(heard, [{ endsInMs: 1_280 }])
  // The service's own warning comes later, if at all.
  await script.connection.say({ type: 'expiring', name: 'a', token: 7, ends_in_ms: 500 })
  await script.clock.advance(1_200)
  assert.ok(lock.isHeld)
  await script.clock.advance(100)
  assert.deepEqual(heard, [{ endsInMs: 1_280 }, { reason: 'max_hold' }])
})

test('of a long hold the warning comes ten seconds before', async () => {
  const { script, lock } = await holding({ ends_in_ms: 60_000 })
  let endsInMs = 0
  lock.on('expiring', event => {
    endsInMs = event.endsInMs
  })
  for (let seconds = 0; seconds < 40; seconds += 2) {
    await script.clock.advance(2_000)
    if (script.connection.count('renew') > seconds / 10) await script.renewed()
  }
  assert.ok(endsInMs > 9_400 && endsInMs <= 10_000, `told ${endsInMs} ms before`)
})

test('a lock is handed to a connection as to a session, and to nothing else', async () => {
  const { script, lock } = await holding()
  const receiver = { sessionId: async () => 's-2' }
  const transferring = lock.transfer(receiver)
  await script.connection.say()
  assert.equal(script.connection.last('transfer').to_session, 's-2')
  await script.connection.say({ type: 'reply', id: script.connection.last('transfer').id, token: 8 })
  assert.equal(await transferring, 8)
  const { lock: other } = await holding()
  // As from JavaScript, where no type forbids it.
  await assert.rejects(other.transfer(undefined as unknown as string), { code: 'invalid_request', message: /receiver/ })
  await assert.rejects(other.transfer({} as unknown as string), { code: 'invalid_request' })
  assert.ok(other.isHeld)
})
