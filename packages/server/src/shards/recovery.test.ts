import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { LockEvent } from '@holdfast/protocol/events'
import { encodeRecord } from '../engine/commit.ts'
import { EngineRefusal } from '../engine/engine.ts'
import { type Batch, batchText, encodeBatch, FORMAT, GroupText, hashBatch } from './batch.ts'
import type { WatchSink } from './port.ts'
import { LogBroken } from './recovery.ts'
import { batchesIn, forge, isAppend, keys, restart, startServer, TestEngine, type World } from './testing.ts'

async function withLog(): Promise<World> {
  const world = await startServer()
  const session = await world.server.session(60_000)
  for (let step = 0; step < 5; step++) await world.server.grant(session, `lock/${step}`)
  return world
}

async function refusesToStart(world: World, reason: RegExp): Promise<void> {
  await assert.rejects(restart(world), (error: unknown) => {
    assert.ok(error instanceof LogBroken, String(error))
    assert.match(error.message, reason)
    return true
  })
}

test('a log with a batch missing in the middle is refused', async () => {
  const world = await withLog()
  world.engine.store.commit({ checks: [], writes: [{ key: keys.batch(0, 3), delete: true }] })
  await refusesToStart(world, /batch 4: it follows batch 2/)
})

test('a batch that does not name the one before it is refused', async () => {
  const world = await withLog()
  const [, , third] = batchesIn(world.engine.store)
  const changed = encodeBatch({ ...third!, at: 0 }, { carried: new GroupText(), entries: new GroupText() })
  world.engine.store.commit({ checks: [], writes: [{ key: keys.batch(0, 2), value: changed }] })
  await refusesToStart(world, /batch 3: it was not written after/)
})

test('who is overtaken while reading the log is told that, and not that the log is broken', async () => {
  const world = await withLog()
  world.engine.kill()
  const engine = new TestEngine(world.engine.store)
  let isOvertaken = false
  engine.list = options => {
    if (!isOvertaken && options.prefix === keys.log(0)) {
      isOvertaken = true
      forge(engine.store, batch => ({ ...batch, epoch: batch.epoch + 9 }))
      const next = encodeRecord({ shard: 0, server: 'another', epoch: 10 })
      engine.store.commit({ checks: [], writes: [{ key: keys.owner(0), value: next }] })
    }
    return engine.inner.list(options)
  }
  await assert.rejects(startServer({ clock: world.clock, engine }), { name: 'OwnershipLost' })
  assert.equal(isOvertaken, true)
})

test('a falling epoch, a clock that goes back, a batch in the wrong place, an empty log: all refused', async t => {
  const cases: [string, (batch: Batch) => Batch, RegExp][] = [
    ['epoch', batch => ({ ...batch, epoch: batch.epoch - 1 }), /its epoch 0 is before 1/],
    ['later epoch', batch => ({ ...batch, epoch: batch.epoch + 9 }), /of epoch 10/],
    ['clock', batch => ({ ...batch, now: -1 }), /clock is behind/],
    ['gap', batch => ({ ...batch, seq: batch.seq + 1 }), /is missing/],
  ]
  for (const [name, change, reason] of cases) {
    await t.test(name, async () => {
      const world = await withLog()
      forge(world.engine.store, change)
      await refusesToStart(world, reason)
    })
  }
  await t.test('place', async () => {
    const world = await withLog()
    const pair = world.engine.store.get(keys.batch(0, 4))!
    world.engine.store.commit({ checks: [], writes: [{ key: keys.batch(0, 5), value: pair.value }] })
    await refusesToStart(world, /lies at/)
  })
  await t.test('empty', async () => {
    const world = await withLog()
    world.engine.store.commit({ checks: [], writes: [{ from: keys.log(0), to: `${keys.log(0)}~`, delete: true }] })
    await refusesToStart(world, /empty/)
  })
})

test('a log is read in pages, all of them no older than the takeover', async () => {
  const world = await startServer()
  const session = await world.server.session(60_000)
  for (let step = 0; step < 60; step++) await world.server.grant(session, `lock/${step}`)
  const engine = new TestEngine(world.engine.store)
  let pages = 0
  let stale = 3
  engine.list = async options => {
    const listing = await engine.inner.list(options)
    if (options.prefix !== keys.log(0)) return listing
    pages++
    // A lagging member: the first batches only, under an honest old revision.
    return stale-- > 0 ? { pairs: listing.pairs.slice(0, 2), revision: 2, more: false } : listing
  }
  const { server } = await restart(world, { engine })
  assert.ok(pages > 4)
  for (let step = 0; step < 60; step++) assert.equal(await server.isHeld(`lock/${step}`), true)
})

test('what a newer version has written is refused, with a word what to do', async () => {
  const world = await withLog()
  const meta = JSON.parse(Buffer.from(world.engine.store.get(keys.meta)!.value).toString())
  const value = encodeRecord({ ...meta, format: meta.format + 1 })
  world.engine.store.commit({ checks: [], writes: [{ key: keys.meta, value }] })
  await assert.rejects(restart(world), /newer version.*Upgrade/)
})

test('so is a batch, or an entry, of which this version knows nothing, and nothing is guessed of it', async () => {
  const cases: [Record<string, unknown>, RegExp][] = [
    [{ format: FORMAT + 1 }, /a batch of format 2 .*newer version.*Upgrade/],
    [{ entries: [['main', ['leased', 'lease', 'a', 1]]] }, /the unknown record lease.*newer version.*Upgrade/],
    [{ carried: [['main', ['leased', 'lease', 'a', 1]]] }, /the unknown record lease/],
  ]
  for (const [change, reason] of cases) {
    const world = await withLog()
    const last = batchesIn(world.engine.store).at(-1)!
    const { value } = world.engine.store.get(keys.batch(0, last.seq))!
    const next = {
      ...JSON.parse(batchText(value)),
      seq: last.seq + 1,
      prev: hashBatch(value),
      entries: [],
      carried: [],
    }
    const written = encodeRecord({ ...next, ...change })
    world.engine.store.commit({ checks: [], writes: [{ key: keys.batch(0, next.seq), value: written }] })
    await assert.rejects(restart(world), reason)
    assert.deepEqual(world.engine.store.get(keys.batch(0, next.seq))?.value, written)
  }
})

test('the id and the key of a cluster are made once', async () => {
  const first = await startServer()
  const { clusterId, clusterKey } = first.server.shards.meta
  assert.match(clusterId, /^[0-9a-f]{32}$/)
  assert.match(clusterKey, /^[0-9a-f]{64}$/)
  const second = await restart(first)
  assert.deepEqual(second.server.shards.meta, { clusterId, clusterKey, shards: 1 })
})

test('waiters who could be granted are granted by the new owner', async () => {
  const first = await withLog()
  const [session] = [await first.server.session(60_000)]
  const holder = await first.server.session(60_000)
  const token = await first.server.grant(holder, 'a')
  first.server.tell(first.server.acquire(session, 'a', { waitMs: null }))
  await first.clock.settle()
  // The end of the grant is logged, and what should have followed is not.
  forge(first.engine.store, batch => ({
    ...batch,
    entries: [['main', { type: 'released', record: 'grant', lock: 'a', token, value: null }]],
  }))
  const { server, clock } = await restart(first)
  await clock.settle()
  const shown = await server.ask({ type: 'show', by: 'test', lock: 'a' })
  assert.ok(shown.ok && shown.type === 'lock')
  assert.equal(shown.lock.grants[0]?.session, session)
})

test('what the next owner tells of the past is what was told when it happened', async () => {
  const first = await startServer()
  const { server, clock } = first
  const [holder, waiter, brief] = [
    await server.session(60_000),
    await server.session(60_000),
    await server.session(900),
  ]
  const live: LockEvent[] = []
  server.shards.watch('main', {}, listener(live))
  const token = await server.grant(holder, 'a')
  const wait = server.acquire(waiter, 'a', { waitMs: null })
  server.tell(wait)
  server.tell(server.acquire(waiter, 'a', { waitMs: 200 }))
  await server.grant(brief, 'b')
  server.tell(server.acquire(brief, 'a', { waitMs: null }))
  await clock.pass(1_500)
  await server.ask(server.release(holder, 'a', token))
  await server.ask({ type: 'force_release', by: 'op', lock: 'a', token: null, reason: 'test', now: true })
  await server.ask({ type: 'close_session', by: 'test', session: waiter })
  assert.ok(live.length >= 10)
  assert.deepEqual(
    new Set(live.map(({ type }) => type)),
    new Set(['granted', 'queued', 'dequeued', 'expired', 'released', 'forced']),
  )
  const next = await restart(first)
  const recalled: LockEvent[] = []
  const cursor = live[0]!.id.replace(/-\d+-\d+$/, '-0-0')
  next.server.shards.watch('main', { after: cursor }, listener(recalled))
  assert.deepEqual(recalled, live)
})

function listener(events: LockEvent[]): WatchSink {
  return {
    began: () => undefined,
    event: event => events.push(event) > 0,
    reset: () => assert.fail('nothing was missed'),
    ended: () => undefined,
    refused: () => assert.fail('it may be watched'),
  }
}

test('after a refusal the log is read no older than what this owner appended to it', async () => {
  const { clock, engine, server } = await startServer()
  const session = await server.session()
  const token = await server.grant(session, 'a')
  const { list } = engine
  let isStale = true
  // A member of the store that lags: newer than the takeover, older than the grant; but it keeps to what it is asked for.
  engine.list = async options => {
    const revision = engine.store.revision - 2
    if (!isStale || !options.prefix.includes('/log/') || (options.atLeast ?? 0) > revision) return list(options)
    isStale = false
    return engine.store.list({ ...options, revision })
  }
  const commit = engine.commit.bind(engine)
  engine.commit = async request => {
    if (!isAppend(request)) return commit(request)
    engine.commit = commit
    throw new EngineRefusal('storage_full', 'full')
  }
  const heard = server.tell(server.acquire(session, 'b'))
  await clock.pass(200)
  assert.equal(heard.failed?.code, 'unavailable')
  const held = await server.ask({ type: 'validate', by: 'test', lock: 'a', token })
  assert.ok(held.ok, JSON.stringify(held))
})
