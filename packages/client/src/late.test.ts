import assert from 'node:assert/strict'
import { test } from 'node:test'
import { ClosedError, LockHeldError, LockLostError } from './errors.ts'
import type { Holdfast } from './holdfast.ts'
import { turn } from './testing/clock.ts'
import { holding, Script, wireGrant } from './testing/scripted.ts'

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

test('nothing is asked for by a session that is being closed', async () => {
  const script = new Script()
  const acquiring = script.holdfast.acquire('a')
  await script.welcome()
  await script.grant(7)
  await acquiring
  const closing = script.holdfast.close()
  await turn()
  const refused = assert.rejects(script.holdfast.acquire('b'), ClosedError)
  await turn()
  assert.equal(script.connection.count('acquire'), 1)
  await script.connection.say({ type: 'reply', id: script.connection.last('close').id })
  await closing
  await refused
})

test('a grant that arrives after the news of its end is not believed in, and the line is joined again', async () => {
  const script = new Script()
  let isGranted = false
  const acquiring = script.holdfast.acquire('a').then(() => {
    isGranted = true
  })
  await script.welcome()
  await script.connection.say({ type: 'lost', name: 'a', token: 7, reason: 'preempted', changes: 1 })
  await script.grant(7, { changes: 0 })
  await turn()
  assert.equal(isGranted, false)
  assert.equal(script.connection.last('release').token, 7)
  assert.equal(script.connection.count('acquire'), 2)
  await script.grant(9, { changes: 1 })
  await acquiring
})

/** A session that another one has handed `b` to, and what its server says when it is asked for a list. */
async function handed(grants = [wireGrant('b', 8)]) {
  const script = new Script()
  const asked = script.holdfast.adopt('b')
  await script.welcome()
  const list = async () => {
    await turn()
    const { id } = script.connection.last('renew')
    await script.connection.say({ type: 'reply', id, ttl_ms: 15_000, changes: 0, epoch: 1, grants })
  }
  await list()
  return { script, list, lock: await asked }
}

test('what was handed over and is being given back is not taken up again', async () => {
  const { script, list, lock } = await handed()
  assert.equal(lock?.token, 8)
  const released = lock.release()
  const again = script.holdfast.adopt('b')
  await list()
  assert.equal(await again, null)
  await script.connection.say({ type: 'reply', id: script.connection.last('release').id })
  await released
})

test('what the session has asked for by itself is not taken up as if it had been handed over', async () => {
  const { lock } = await handed([wireGrant('b', 8, 3)])
  assert.equal(lock, null)
})

test('what was handed over and has ended by the time it is taken up is lost', async () => {
  const script = new Script()
  const asked = script.holdfast.adopt('b')
  await script.welcome()
  await turn()
  const { id } = script.connection.last('renew')
  await script.connection.say(
    { type: 'reply', id, ttl_ms: 15_000, changes: 1, epoch: 1, grants: [wireGrant('b', 8)] },
    { type: 'lost', name: 'b', token: 8, reason: 'preempted', changes: 2 },
  )
  assert.equal((await asked)?.isHeld, false)
})

test('a list that was asked for before a lock was handed over does not say that it was not', async () => {
  const { script } = await holding()
  await script.clock.advance(5_000)
  await script.renewed({ changes: 1 })
  const before = script.connection.last('renew')
  assert.equal(before.wants_grants, true)
  const asked = script.holdfast.adopt('b')
  await turn()
  const list = (id: number, grants: ReturnType<typeof wireGrant>[]) =>
    script.connection.say({ type: 'reply', id, ttl_ms: 15_000, changes: 1, epoch: 1, grants })
  const { id } = script.connection.last('renew')
  await list(before.id, [wireGrant('a', 7, 1)])
  await list(id, [wireGrant('a', 7, 1), wireGrant('b', 8)])
  assert.equal((await asked)?.token, 8)
})

test('of two who take up at once what was handed over one gets it', async () => {
  const script = new Script()
  const both = Promise.all([script.holdfast.adopt('b'), script.holdfast.adopt('b')])
  await script.welcome()
  await turn()
  for (const asked of script.connection.received) {
    if (asked.type !== 'renew') continue
    const grants = [wireGrant('b', 8)]
    await script.connection.say({ type: 'reply', id: asked.id, ttl_ms: 15_000, changes: 0, epoch: 1, grants })
  }
  const tokens = (await both).map(lock => lock?.token)
  assert.deepEqual(tokens.toSorted(), [8, undefined])
})

test('a refusal of what was sent more than once takes back the copies that may still arrive', async () => {
  const script = new Script()
  const first = assert.rejects(script.holdfast.acquire('a', { waitMs: 0 }), LockHeldError)
  await script.welcome()
  const { id } = script.connection.last('acquire')
  const refusal = { type: 'reply' as const, id, error: { code: 'lock_held' as const, message: 'held' } }
  await script.connection.cut()
  await script.clock.advance(100)
  await script.welcome({ grants: [] })
  assert.equal(script.connection.last('acquire').id, id)
  let isRefused = false
  const told = first.then(() => {
    isRefused = true
  })
  await script.connection.say(refusal)
  const cancel = script.connection.last('cancel')
  assert.equal(cancel.request_id, id)
  assert.equal(isRefused, false, 'one of the copies may still be granted')
  await script.connection.say({ type: 'reply', id: cancel.id })
  await told
})

test('a refusal of what was sent once needs no more words', async () => {
  const script = new Script()
  const asked = assert.rejects(script.holdfast.acquire('a', { waitMs: 0 }), LockHeldError)
  await script.welcome()
  const { id } = script.connection.last('acquire')
  await script.connection.say({ type: 'reply', id, error: { code: 'lock_held', message: 'held' } })
  await asked
  await turn()
  assert.equal(script.connection.count('cancel'), 0)
})

test('a lock whose end lies in the frame that brings it is lost, and no work begins under it', async () => {
  const work = () => assert.fail('the work has begun')
  const ways: [(holdfast: Holdfast) => Promise<unknown>, (error: unknown) => boolean][] = [
    [holdfast => holdfast.using('a', work), error => error instanceof LockLostError && error.reason === 'forced'],
    [
      holdfast => holdfast.locks.shared('a').using(work),
      error => error instanceof LockLostError && error.reason === 'forced',
    ],
    [
      holdfast => holdfast.navigatorLocks.request('a', work),
      error => error instanceof DOMException && error.name === 'AbortError',
    ],
  ]
  for (const [begin, isAsExpected] of ways) {
    const script = new Script()
    const refused = assert.rejects(begin(script.holdfast), isAsExpected)
    await script.welcome()
    const { id, name } = script.connection.last('acquire')
    await script.connection.say(script.granted({ id, name, token: 9 }), {
      type: 'lost',
      name,
      token: 9,
      reason: 'forced',
      changes: 1,
    })
    await refused
    // What the service knows to have ended is not given back.
    assert.equal(script.connection.count('release'), 0)
  }
})
