import assert from 'node:assert/strict'
import { test } from 'node:test'
import { turn } from './testing/clock.ts'
import { holding, Script, wireGrant } from './testing/scripted.ts'

test('on a new connection the session is resumed and what is unanswered is sent again under its id', async () => {
  const { script, lock } = await holding()
  const waiting = script.holdfast.acquire('b')
  await turn()
  const asked = script.connection.last('acquire')
  await script.connection.cut()
  await script.clock.advance(200)
  await script.welcome({ grants: [wireGrant('a', 7, 1)] })
  assert.equal(script.connection.last('hello').session, 's-1.secret')
  assert.equal(script.connection.last('acquire').id, asked.id)
  assert.ok(lock.isHeld)
  await script.grant(8)
  assert.equal((await waiting).token, 8)
})

test('on resume, a grant that nobody here knows is given back, one that is asked for or transferred is not', async () => {
  const { script } = await holding()
  script.holdfast.acquire('b').catch(() => {})
  await turn()
  const { id } = script.connection.last('acquire')
  await script.connection.cut()
  await script.clock.advance(200)
  await script.welcome({
    grants: [wireGrant('a', 7, 1), wireGrant('b', 8, id), wireGrant('ghost', 9, 1), wireGrant('gift', 10)],
  })
  assert.deepEqual(
    script.connection.received.filter(message => message.type === 'release').map(message => message.token),
    [9],
  )
})

test('on resume, a grant that is taken back already is not given back as well: who has entered it since would lose it', async () => {
  const { script } = await holding()
  const stop = new AbortController()
  const given = assert.rejects(script.holdfast.acquire('b', { signal: stop.signal }), { name: 'AbortError' })
  await turn()
  const { id } = script.connection.last('acquire')
  stop.abort()
  await given
  await script.connection.cut()
  await script.clock.advance(200)
  await script.welcome({ grants: [wireGrant('a', 7, 1), wireGrant('b', 8, id)] })
  assert.equal(script.connection.last('cancel').request_id, id)
  assert.equal(script.connection.count('release'), 0)
})

test('on resume, what an unanswered request may have entered is not taken from it', async () => {
  const { script } = await holding()
  const entering = script.holdfast.acquire('ghost', { reentrant: true })
  script.holdfast.acquire('other').catch(() => {})
  await turn()
  const asked = script.connection.received.flatMap(message => (message.type === 'acquire' ? [message] : []))
  await script.connection.cut()
  await script.clock.advance(200)
  const listed = (name: string, token: number, count: number) => ({ ...wireGrant(name, token, 1), count })
  await script.welcome({ grants: [wireGrant('a', 7, 1), listed('ghost', 9, 2), listed('other', 10, 2)] })
  assert.deepEqual(
    script.connection.received.filter(message => message.type === 'release').map(message => message.token),
    [10, 10],
  )
  const { id = 0 } = asked.find(({ name }) => name === 'ghost') ?? {}
  await script.connection.say(script.granted({ id, name: 'ghost', token: 9 }))
  assert.ok((await entering).isHeld)
})

test('a transferred grant that was given up, and that a restored store lists again, is given back on resume', async () => {
  const { script } = await holding()
  const adopting = script.holdfast.adopt('gift')
  await turn()
  await script.renewed({ epoch: 1, grants: [wireGrant('a', 7, 1), wireGrant('gift', 10)] })
  const gift = await adopting
  assert.ok(gift?.isHeld)
  const releasing = gift.release()
  await turn()
  await script.connection.say({ type: 'reply', id: script.connection.last('release').id, changes: 0 })
  await releasing
  await script.connection.cut()
  await script.clock.advance(200)
  await script.welcome({ grants: [wireGrant('a', 7, 1), wireGrant('gift', 10)] })
  assert.deepEqual(
    script.connection.received.filter(message => message.type === 'release').map(message => message.token),
    [10],
  )
})

test('on resume, a lock that the server does not list is lost', async () => {
  const { script, lock } = await holding()
  await script.connection.cut()
  await script.clock.advance(200)
  await script.welcome({ changes: 1, grants: [] })
  assert.equal(lock.signal.reason?.reason, 'forced')
})

test('a session that is gone takes its locks with it, and waits begin again in a new one', async () => {
  const { script, lock } = await holding()
  const waiting = script.holdfast.acquire('b', { waitMs: 60_000 })
  await turn()
  await script.clock.advance(2_000)
  await script.connection.cut()
  await script.clock.advance(200)
  script.connection.open()
  await script.connection.say({
    type: 'reply',
    id: 0,
    error: { code: 'not_found', message: 'There is no such session.' },
  })
  assert.equal(lock.signal.reason?.reason, 'expired')
  await script.clock.advance(200)
  await script.welcome({ session: 's-2' })
  assert.equal(script.connection.last('hello').session, undefined)
  const asked = script.connection.last('acquire')
  assert.ok(asked.wait_ms! < 60_000 && asked.wait_ms! > 55_000)
  await script.grant(9)
  assert.equal((await waiting).token, 9)
})

test('what is sent again asks for no more time than is left', async () => {
  const { script } = await holding()
  const waiting = script.holdfast.acquire('b', { waitMs: 5_000 })
  const trying = script.holdfast.tryAcquire('c')
  waiting.catch(() => {})
  trying.catch(() => {})
  await turn()
  const asked = () => script.connection.received.flatMap(message => (message.type === 'acquire' ? [message] : []))
  assert.deepEqual(
    asked()
      .slice(-2)
      .map(({ wait_ms }) => wait_ms),
    [5_000, 0],
  )
  await script.connection.cut()
  await script.clock.advance(3_000)
  await script.welcome()
  assert.deepEqual(
    asked().map(({ wait_ms }) => wait_ms),
    [2_000, 0],
  )
  await script.connection.cut()
  await script.clock.advance(3_000)
  await script.welcome()
  // Its wait is over: that is the answer, and not that the lock was held at once.
  assert.deepEqual(
    asked().map(({ wait_ms }) => wait_ms),
    [1, 0],
  )
})

test('what is sent again over the same connection asks for no more time than is left either', async () => {
  const { script } = await holding()
  script.holdfast.acquire('b', { waitMs: 5_000 }).catch(() => {})
  await turn()
  const { id } = script.connection.last('acquire')
  await script.clock.advance(3_000)
  await script.connection.say({ type: 'reply', id, error: { code: 'unavailable', message: 'Nobody decides now.' } })
  await script.clock.advance(250)
  const { id: again, wait_ms: waitMs = 0 } = script.connection.last('acquire')
  assert.equal(script.connection.count('acquire'), 3)
  assert.equal(again, id)
  assert.ok(waitMs !== null && waitMs >= 1_750 && waitMs <= 2_000, String(waitMs))
})

test('what has not been sent waits for a connection that can be had, also the question for a list', async () => {
  const script = new Script({ url: ['http://one.test', 'http://two.test'] })
  const asked = script.holdfast.sessionId()
  await turn()
  await script.connection.cut()
  await script.clock.advance(1)
  await script.welcome()
  await script.renewed({ epoch: 1, grants: [] })
  assert.equal(await asked, 's-1')
})

test('but not for ever: then it is told why there is none', async () => {
  const { script } = await holding()
  await script.connection.cut()
  const asked = assert.rejects(script.holdfast.adopt('b'), { code: 'unavailable' })
  for (let round = 0; round < 11; round++) {
    await script.clock.advance(1_000)
    await script.connection.cut()
  }
  await asked
})

test('what gives back is asked again where there was no room for it: the session lives on, and would hold it for nobody', async () => {
  const { script, lock } = await holding()
  const stop = new AbortController()
  const waiting = assert.rejects(script.holdfast.acquire('b', { signal: stop.signal }), /enough/)
  const full = { code: 'quota_exceeded' as const, message: 'A connection has at most 20000 requests in flight.' }
  await turn()
  stop.abort(new Error('enough'))
  await waiting
  const releasing = lock.release()
  releasing.catch(() => {})
  await turn()
  const ids = [script.connection.last('cancel').id, script.connection.last('release').id]
  await script.connection.say(...ids.map(id => ({ type: 'reply' as const, id, error: full })))
  await script.clock.advance(250)
  assert.deepEqual([script.connection.last('cancel').id, script.connection.last('release').id], ids)
  assert.deepEqual([script.connection.count('cancel'), script.connection.count('release')], [2, 2])
  await script.connection.say(...ids.map(id => ({ type: 'reply' as const, id, changes: 0 })))
  await releasing
})
