import assert from 'node:assert/strict'
import { test } from 'node:test'
import { openMemory } from '../engine/memory/memory.ts'
import { decodeBatch } from './batch.ts'
import { ShardLog, SIZES_GONE_MAX } from './log.ts'
import { silentTelemetry } from './telemetry.ts'
import { appended, batchesIn, FakeClock, isAppend, keys, restart, startServer, TestEngine } from './testing.ts'

/** A store to which every append that has passed comes once more, at once. */
class RepeatingEngine extends TestEngine {
  passed = 0
  override async commit(request: TestEngine['requests'][number]) {
    const result = await super.commit(request)
    if (isAppend(request) && result.ok && this.store.commit(request).ok) this.passed++
    return result
  }
}

test('an append that arrives twice, however soon, is written once', async () => {
  const engine = new RepeatingEngine()
  const world = await startServer({ engine })
  const { server } = world
  const session = await server.session(60_000)
  for (let step = 0; step < 10; step++) await server.grant(session, `lock/${step}`)
  assert.equal(engine.passed, 0)
  // Nor later, each of them.
  for (const request of engine.requests.filter(isAppend)) assert.equal(engine.store.commit(request).ok, false)
  const next = await restart(world)
  for (let step = 0; step < 10; step++) assert.equal(await next.server.isHeld(`lock/${step}`), true)
})

test('each batch of an owner names the one before it, and is of the epoch in force', async () => {
  const first = await startServer()
  const session = await first.server.session(60_000)
  for (let step = 0; step < 5; step++) await first.server.grant(session, `lock/${step}`)
  const { server, engine } = await restart(first)
  const again = await server.session(60_000)
  for (let step = 5; step < 10; step++) await server.grant(again, `lock/${step}`)
  const epochs = batchesIn(engine.store).map(batch => batch.epoch)
  assert.deepEqual(new Set(epochs), new Set([0, 1, 2]))
  const own = engine.requests.filter(isAppend).map(request => decodeBatch(appended(request)!))
  assert.equal(
    own.every(batch => batch.epoch === 2),
    true,
  )
})

test('sizes of batches that are gone are kept of SIZES_GONE_MAX at the most', async () => {
  const engine = openMemory()
  const gone = SIZES_GONE_MAX + 10
  const put = async (key: string) => {
    const result = await engine.commit({ checks: [], writes: [{ key, value: Buffer.from(key) }] })
    assert.ok(result.ok)
    return result.revision
  }
  const ownership = { epoch: 1, revision: await put(keys.owner(0)) }
  const end = { seq: gone, revision: await put(keys.batch(0, gone)), hash: '' }
  const sizes = Array.from({ length: gone + 1 }, (_, seq) => seq + 1)
  const log = new ShardLog({
    ...{ engine, clock: new FakeClock(), keys, shard: 0, telemetry: silentTelemetry },
    end,
    firstSeq: 0,
    sizes,
  })
  const few = SIZES_GONE_MAX - 1
  await log.append(Buffer.from('one'), ownership, { before: few })
  assert.equal(log.sizes, gone + 2, 'not one by one')
  await log.append(Buffer.from('two'), ownership, { before: gone })
  assert.equal(log.sizes, 3)
  assert.deepEqual(
    [gone, gone + 1, gone + 2].map(seq => log.bytesOf(seq)),
    [gone + 1, 3, 3],
  )
  assert.equal(log.bytes, gone + 1 + 3 + 3)
})
