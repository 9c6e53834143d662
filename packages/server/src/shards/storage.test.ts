import assert from 'node:assert/strict'
import { test } from 'node:test'
import { EngineRefusal } from '../engine/engine.ts'
import { isBeat, startServer, TestEngine, tokenOf } from './testing.ts'

/** A server on a store whose room is what the test says. */
async function withRoom() {
  const engine = new TestEngine()
  const room = { usedBytes: 10, liveBytes: 10, quotaBytes: 100 }
  engine.size = async () => ({ ...room })
  const alarms: string[] = []
  const telemetry = { alarm: ({ what }: { what: string }) => void alarms.push(what) }
  const world = await startServer({ engine, telemetry })
  const fill = async (usedBytes: number) => {
    room.usedBytes = usedBytes
    await world.clock.pass(2_100)
  }
  return { ...world, alarms, fill }
}

test('when the store is nearly full, what would grow it is refused; what is held, its renewals and its releases go on', async () => {
  const { server, fill, alarms } = await withRoom()
  const session = await server.session()
  const acquire = server.acquire(session, 'held')
  const token = tokenOf(await server.ask(acquire))
  await fill(85)
  assert.match(alarms[0] ?? '', /nearly full \(85 %/)
  const isFull = (answer: { ok: boolean; code?: string }) =>
    assert.equal(answer.ok === false && answer.code, 'storage_full')
  isFull(await server.ask(server.acquire(session, 'free')))
  isFull(await server.ask(server.acquire(session, 'free', { waitMs: null })))
  isFull(await server.ask({ type: 'open_session', by: 'test', ttlMs: 10_000, labels: null }))
  // A reply may have been lost: who asks again must not believe that it holds nothing.
  assert.equal(tokenOf(await server.ask(acquire)), token)
  assert.ok((await server.ask(server.renew(session))).ok)
  assert.ok(await server.isHeld('held'))
  assert.ok((await server.ask(server.release(session, 'held', token))).ok)
  assert.equal(await server.isHeld('held'), false)
})

test('a hand-over and an expiry go on in a full store, and with room acquires come back', async () => {
  const { server, clock, fill, alarms } = await withRoom()
  const holder = await server.session(10_000)
  const waiter = await server.session(60_000)
  await server.grant(holder, 'handed')
  server.tell(server.acquire(waiter, 'handed', { waitMs: null }))
  await clock.settle()
  await fill(99)
  // The holder goes silent.
  await clock.pass(11_000)
  assert.equal(await server.isAlive(holder), false)
  const shown = await server.ask({ type: 'show', by: 'test', lock: 'handed' })
  assert.ok(shown.ok && shown.type === 'lock')
  assert.equal(shown.lock.grants[0]?.session, waiter)
  // A little room is not enough: it would be gone with the next acquire.
  await fill(82)
  assert.equal((await server.ask(server.acquire(waiter, 'next'))).ok, false)
  await fill(79)
  await server.grant(waiter, 'next')
  assert.match(alarms.at(-1) ?? '', /room again/)
})

test('a store whose size cannot be read is served from, and told of once', async () => {
  const { server, engine, clock, alarms } = await withRoom()
  engine.size = () => Promise.reject(new Error('out of reach'))
  await clock.pass(20_000)
  assert.deepEqual(alarms, ['the size of the store cannot be read'])
  await server.grant(await server.session(), 'a')
})

test('a store is tended by the owner of the first shard, one time after another', async () => {
  const engine = new TestEngine()
  let tended = 0
  let underWay = 0
  Object.assign(engine, {
    tend: async () => {
      assert.equal(++underWay, 1)
      tended++
      await new Promise<void>(resolve => void clock.after(7_000, resolve))
      underWay--
    },
  })
  const { clock, server } = await startServer({ engine })
  await clock.pass(30_000)
  assert.equal(tended, 3)
  await Promise.all([server.shards.close(), clock.pass(1_000)])
  await clock.pass(30_000)
  assert.equal(tended, 3)
})

test('a store that refuses beats is told of once, and nobody is charged or expired meanwhile', async () => {
  const { server, engine, clock, alarms } = await withRoom()
  const session = await server.session(4_000)
  const commit = engine.commit.bind(engine)
  engine.commit = async request => {
    if (isBeat(request)) throw new EngineRefusal('storage_full', 'no space')
    return commit(request)
  }
  await clock.pass(30_000)
  assert.deepEqual(alarms, ['the store refuses beats'])
  engine.commit = commit
  await clock.pass(1_000)
  assert.ok((await server.ask(server.renew(session))).ok)
})
