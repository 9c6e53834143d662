/** Deciding while a batch is in flight (decision 0013): nothing of it may count before that batch does. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { NotTaken } from './callers.ts'
import { batchesIn, isAppend, keys, startServer, tokenOf } from './testing.ts'

test('what was decided on a batch that surely was not written is void, and whoever asked is told that it is unknown', async () => {
  const { server, clock, engine } = await startServer()
  const session = await server.session(60_000)
  const kept = await server.grant(session, 'kept')
  engine.hold(isAppend)
  const flying = server.tell(server.release(session, 'kept', kept))
  await clock.settle()
  const ahead = server.tell(server.acquire(session, 'ahead'))
  const read = server.tell({ type: 'show', by: 'test', lock: 'kept' })
  await clock.settle()
  // The batch that it names as the one before has changed: the append cannot pass.
  const [last] = batchesIn(engine.store).slice(-1)
  const { value } = (await engine.read(keys.batch(0, last!.seq)))!
  engine.store.commit({ checks: [], writes: [{ key: keys.batch(0, last!.seq), value }] })
  engine.letGo()
  await clock.pass(100)
  for (const heard of [flying, ahead, read]) {
    assert.equal(heard.answer, null)
    assert.equal(heard.failed?.code, 'unavailable')
  }
  assert.equal(flying.failed instanceof NotTaken, false, 'it was sent to the store: who knows')
  for (const heard of [ahead, read]) assert.ok(heard.failed instanceof NotTaken, 'it never was')
  assert.equal(await server.isHeld('kept'), true)
  assert.equal(await server.isHeld('ahead'), false)
  assert.ok((await server.ask(server.release(session, 'kept', kept))).ok)
})

test('what was decided ahead is void when the server stops before it is written', async () => {
  const { server, clock, engine } = await startServer()
  const session = await server.session(60_000)
  engine.hold(isAppend)
  const flying = server.tell(server.acquire(session, 'flying'))
  await clock.settle()
  const ahead = server.tell(server.acquire(session, 'ahead'))
  await clock.settle()
  const closed = server.shards.close()
  engine.letGo()
  await clock.settle()
  await closed
  tokenOf(flying.answer)
  assert.equal(ahead.failed?.code, 'unavailable')
  const written = batchesIn(engine.store).flatMap(batch => batch.entries.flatMap(([, ...entries]) => entries))
  const granted = written.flatMap(entry => (entry.record === 'grant' && entry.type === 'granted' ? [entry.lock] : []))
  assert.deepEqual(granted, ['flying'])
})

test('time that a request confers counts from when it was received, not from when its turn was opened', async () => {
  const { server, clock, engine } = await startServer()
  const [busy, other] = [await server.session(60_000), await server.session(1_000)]
  engine.hold(isAppend)
  server.tell(server.acquire(busy, 'flying'))
  await clock.settle()
  server.tell(server.acquire(busy, 'opens the next turn'))
  await clock.pass(700)
  const renewed = server.tell(server.renew(other))
  await clock.pass(200)
  engine.letGo()
  await clock.settle()
  assert.ok(renewed.answer?.ok)
  await clock.pass(600)
  assert.ok((await server.ask({ type: 'show_session', by: 'test', session: other })).ok, 'it was promised a full TTL')
})

test('commands that arrive in many turns of the loop while a batch is in flight still share one batch', async () => {
  const { server, clock, engine } = await startServer()
  const session = await server.session(60_000)
  engine.hold(isAppend)
  server.tell(server.acquire(session, 'flying'))
  await clock.settle()
  const before = batchesIn(engine.store).length
  const rest = []
  for (let index = 0; index < 20; index++) {
    rest.push(server.tell(server.acquire(session, `lock/${index}`)))
    await clock.settle()
  }
  assert.ok(rest.every(heard => heard.answers === 0))
  engine.letGo()
  await clock.settle()
  for (const heard of rest) tokenOf(heard.answer)
  assert.equal(batchesIn(engine.store).length, before + 2)
})
