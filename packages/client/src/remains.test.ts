/** What is over leaves nothing behind: a client lives for months. */
import assert from 'node:assert/strict'
import { getEventListeners } from 'node:events'
import { test } from 'node:test'
import type { ServerMessage } from '@holdfast/protocol/frame'
import { connect } from './holdfast.ts'
import { Ledger } from './ledger.ts'
import { Lock } from './lock.ts'
import type { Session } from './session.ts'
import { turn } from './testing/clock.ts'
import { holding, Script, wireGrant } from './testing/scripted.ts'

const MANY = 1_000

const listeners = ({ signal }: AbortController) => getEventListeners(signal, 'abort').length

test('very many acquires under one signal leave no listener on it, granted, refused or given up', async () => {
  const { script } = await holding()
  const stop = new AbortController()
  const { signal } = stop
  const from = script.connection.received.length
  const asked = Array.from({ length: MANY }, (_, number) => script.holdfast.acquire(`n${number}`, { signal }))
  const all = Promise.allSettled(asked)
  await turn()
  assert.equal(listeners(stop), MANY)
  const acquires = script.connection.received.slice(from).filter(message => message.type === 'acquire')
  assert.equal(acquires.length, MANY)
  const answers = acquires.map(({ id, name }, place): ServerMessage => {
    if (place % 2 === 0) return script.granted({ id, name, token: 100 + place })
    return { type: 'reply', id, error: { code: 'lock_held', message: 'held' } }
  })
  // What is left is given up below.
  await script.connection.say(...answers.slice(0, MANY - 10))
  assert.equal(listeners(stop), 10)
  stop.abort()
  assert.equal((await all).filter(({ status }) => status === 'fulfilled').length, (MANY - 10) / 2)
  assert.equal(listeners(stop), 0)
})

test('very many watches under one signal leave no listener on it, and none of them behind', async () => {
  const { script } = await holding()
  const stop = new AbortController()
  for (let number = 0; number < MANY; number++) {
    const events = script.holdfast.watch({ prefix: 'p/', signal: stop.signal })
    await events.return?.()
  }
  assert.equal(listeners(stop), 0)
})

test('a watch that ends while it is being asked for is ended at the service when that answers', async () => {
  const { script } = await holding()
  const events = script.holdfast.watch({ prefix: 'p/' })
  await turn()
  const { id } = script.connection.last('watch')
  await events.return?.()
  await turn()
  assert.equal(script.connection.count('unwatch'), 0, 'there may be none yet')
  await script.connection.say({ type: 'reply', id, cursor: 'c0' })
  assert.equal(script.connection.last('unwatch').watch, id)
})

test('the end of a hold that has been given back is nobody’s concern', async () => {
  const script = new Script()
  const acquiring = script.holdfast.acquire('a')
  await script.welcome()
  await script.grant(7, { ends_in_ms: 5_000 })
  const lock = await acquiring
  const released = lock.release()
  await turn()
  await script.connection.say({ type: 'reply', id: script.connection.last('release').id })
  await released
  await script.clock.advance(6_000)
  assert.deepEqual(
    script.events.filter(({ type }) => type === 'lock_lost'),
    [],
  )
  assert.equal(lock.signal.reason?.reason, undefined)
  assert.equal(script.connection.count('release'), 1)
})

test('what was taken up and given up is remembered as long as lists have it, and no longer', () => {
  const ledger = new Ledger(15_000, { failed: error => assert.fail(String(error)), unwound: () => undefined })
  const now = { monotonicMs: 1_000, bootMs: 1_000 }
  const asked = { grantsSeen: MANY, sentAt: now, now }
  const gifts = Array.from({ length: 3 }, (_, number) => wireGrant('gift', 10 + number))
  for (const gift of gifts) ledger.leave(ledger.takeUp(gift, { firstSentAt: now, sentAt: now, waitedMs: 0, now }))
  ledger.adopt(gifts.slice(0, 1), asked)
  assert.deepEqual(
    gifts.map(({ token }) => ledger.wasTakenUp(token)),
    [true, false, false],
  )
  ledger.adopt([], asked)
  assert.equal(ledger.wasTakenUp(10), false)
})

test('what was entered very many times, and listened to each time, keeps the callbacks of the one that is not over', () => {
  const ledger = new Ledger(15_000, { failed: error => assert.fail(String(error)), unwound: () => undefined })
  const now = { monotonicMs: 1_000, bootMs: 1_000 }
  // Of the session, what a handle uses here.
  const session = { ledger } as unknown as Session
  const enter = () => {
    const entered = ledger.hold(wireGrant('a', 7), { firstSentAt: now, sentAt: now, waitedMs: 0, now })
    return new Lock(session, entered, { task: '', waitedMs: 0 })
  }
  const heard: string[] = []
  const first = enter()
  const held = ledger.holdings.get(7)!
  first.on('lost', () => heard.push('first'))
  for (let number = 0; number < MANY; number++) {
    const entry = enter()
    entry.on('lost', () => heard.push('entry'))
    assert.equal(entry.signal.aborted, false)
    entry.drop()
    entry.on('lost', () => heard.push('over'))
  }
  assert.equal(held.listening, 1)
  void ledger.lose(held, 'forced')
  assert.deepEqual(heard, ['first'])
})

test('very many watches over REST under one signal leave no listener on it, also when nobody answers', async () => {
  const stop = new AbortController()
  const away = async () => {
    throw new TypeError('fetch failed')
  }
  const { rest } = connect({ url: 'http://one.test', apiKey: 'k', fetch: away })
  for (let number = 0; number < MANY / 10; number++)
    await assert.rejects(rest.watch({ signal: stop.signal }).next(), { code: 'unavailable' })
  assert.equal(listeners(stop), 0)
})
