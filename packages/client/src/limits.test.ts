/** Each limit of the library, where it is and one past it. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { TTL_MS_DEFAULT, TTL_MS_MAX, TTL_MS_MIN } from '@holdfast/protocol/limits'
import { UnavailableError } from './errors.ts'
import { connect } from './holdfast.ts'
import { ANSWER_MS_MAX } from './requests.ts'
import { turn } from './testing/clock.ts'
import { Script } from './testing/scripted.ts'
import { UNREAD_ITEMS_MAX } from './watch.ts'

test('a session’s TTL has a shortest and a longest', async () => {
  const script = new Script()
  script.holdfast.acquire('a').catch(() => {})
  await script.welcome()
  assert.equal(script.connection.last('hello').ttl_ms, TTL_MS_DEFAULT)
  for (const ttlMs of [TTL_MS_MIN, TTL_MS_MAX]) connect({ ttlMs })
  for (const ttlMs of [TTL_MS_MIN - 1, TTL_MS_MAX + 1, Number.NaN])
    assert.throws(() => connect({ ttlMs }), { code: 'invalid_request' })
})

test('an answer may take ANSWER_MS_MAX; then its outcome is called unknown', async () => {
  const script = new Script({ ttlMs: TTL_MS_MAX })
  script.holdfast.acquire('a').catch(() => {})
  await script.welcome()
  await script.grant(7)
  let outcome = 'pending'
  script.holdfast.value('a').then(
    () => {},
    (error: unknown) => {
      outcome = error instanceof UnavailableError ? 'unknown' : String(error)
    },
  )
  await turn()
  await script.clock.advance(ANSWER_MS_MAX)
  assert.equal(outcome, 'pending')
  await script.clock.advance(1_000)
  assert.equal(outcome, 'unknown')
})

test('a watch takes in UNREAD_ITEMS_MAX items, then pauses, and goes on from the last when they are read', async () => {
  const script = new Script()
  const items = script.holdfast.watch()
  await script.welcome()
  const watch = script.connection.last('watch').id
  await script.connection.say({ type: 'reply', id: watch, cursor: 'start' })
  const event = (id: number) => ({ id: `${id}`, at: '2026-01-01T00:00:00Z', type: 'released' as const, lock: 'a' })
  for (let id = 1; id < UNREAD_ITEMS_MAX; id++) script.connection.sayWithin({ type: 'event', watch, event: event(id) })
  await turn()
  assert.equal(script.connection.count('unwatch'), 0)
  await script.connection.say({ type: 'event', watch, event: event(UNREAD_ITEMS_MAX) })
  assert.equal(script.connection.count('unwatch'), 1)
  // On its way when the watch was paused: it comes again.
  await script.connection.say({ type: 'event', watch, event: event(UNREAD_ITEMS_MAX + 1) })
  for (let id = 1; id <= UNREAD_ITEMS_MAX; id++) {
    assert.equal(script.connection.count('watch'), 1, 'not before all are read')
    const { value } = await items.next()
    assert.equal(value.id, `${id}`)
  }
  await turn()
  assert.equal(script.connection.count('watch'), 2)
  assert.equal(script.connection.last('watch').after, `${UNREAD_ITEMS_MAX}`)
})
