/** What an owner writes once more when the store has another key: nobody notices, whatever becomes of the commit. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { decodeOwner } from './ownership.ts'
import { batchesIn, isAppend, keys, restart, startServer } from './testing.ts'

type Request = { writes: ({ key: string } | { from: string })[] }
const isRewriting = ({ writes }: Request) =>
  writes.length === 2 && writes.some(write => 'key' in write && write.key === keys.owner(0))

for (const fate of ['pass', 'lose_reply', 'lose'] as const) {
  test(`the newest batch and the owner record are written once more, as they are, though the commit may ${fate}`, async () => {
    const world = await startServer()
    const { server, engine, clock } = world
    const session = await server.session(60_000)
    const first = await server.grant(session, 'a')
    const [owner, batches] = [engine.store.get(keys.owner(0)), batchesIn(engine.store)]
    const newest = keys.batch(0, batches.at(-1)!.seq)
    const before = engine.store.get(newest)
    let tries = 0
    engine.fate = request => (isRewriting(request) && ++tries <= 2 ? fate : 'pass')
    server.shards.sealAnew()
    await clock.pass(1_000)
    assert.ok(tries >= (fate === 'pass' ? 1 : 2))
    const after = engine.store.get(newest)
    assert.deepEqual(after?.value, before?.value)
    assert.ok(after!.modRevision > before!.modRevision)
    assert.deepEqual(engine.store.get(keys.owner(0))?.value, owner?.value)
    assert.equal(engine.store.get(keys.owner(0))?.modRevision, after?.modRevision)
    // It goes on as the owner that it was, in the same epoch.
    const second = await server.grant(session, 'b')
    assert.ok(second > first)
    assert.deepEqual([...new Set(batchesIn(engine.store).map(({ epoch }) => epoch))], [0, 1])
    assert.deepEqual(world.fatal, [])
    // And whoever comes after it reads the same.
    const next = await restart(world)
    assert.ok(await next.server.isHeld('a'))
    assert.ok(await next.server.isHeld('b'))
  })
}

test('an append that was sent before and comes late finds what it names gone', async () => {
  const { server, engine, clock } = await startServer()
  const session = await server.session(60_000)
  await server.grant(session, 'a')
  const late = engine.requests.filter(isAppend).at(-1)!
  server.shards.sealAnew()
  await clock.pass(100)
  const seq = batchesIn(engine.store).length
  assert.equal((await engine.inner.commit(late)).ok, false)
  assert.equal(batchesIn(engine.store).length, seq)
})

test('commands that come meanwhile wait for it, and are answered once', async () => {
  const { server, engine, clock } = await startServer()
  const session = await server.session(60_000)
  engine.hold(isRewriting)
  server.shards.sealAnew()
  await clock.pass(20)
  const heard = server.tell(server.acquire(session, 'a'))
  await clock.pass(50)
  assert.equal(heard.answers, 0)
  engine.letGo()
  await clock.pass(50)
  assert.ok(heard.answer?.ok)
  assert.equal(heard.answers, 1)
})

test('an owner that has been replaced does not overwrite who came after it, but takes the shard anew', async () => {
  const dropped: string[] = []
  const world = await startServer({ telemetry: { dropped: ({ reason }) => dropped.push(reason) } })
  const { server, engine, clock } = world
  const session = await server.session(60_000)
  await server.grant(session, 'a')
  const other = Buffer.from(JSON.stringify({ server: '', epoch: 7 }))
  engine.store.commit({ checks: [], writes: [{ key: keys.owner(0), value: other }] })
  server.shards.sealAnew()
  await clock.pass(100)
  assert.deepEqual(dropped, ['OwnershipLost'])
  // Above the other's, not its own of before.
  assert.equal(decodeOwner(engine.store.get(keys.owner(0))!).epoch, 8)
  assert.ok(await server.isHeld('a'))
})
