import assert from 'node:assert/strict'
import { randomBytes } from 'node:crypto'
import { test } from 'node:test'
import { AUDIT_BYTES_MIN } from '../config/audit.ts'
import { shardOf } from '../shards/router.ts'
import { restart, TestEngine } from '../shards/testing.ts'
import { PAGE_BATCHES, PATIENCE_MS } from './archive.ts'
import { decodeIndex, SEGMENTS_MAX } from './archive-index.ts'
import { archiveOf } from './audit.ts'
import { decodeSegment, encodeSegment, SEGMENT_BYTES_MAX } from './segment.ts'
import {
  type AuditWorld,
  allRecords,
  auditKeys,
  cycles,
  forEver,
  keys,
  logOf,
  settled,
  startAudited,
} from './testing.ts'

function indexOf({ engine }: AuditWorld) {
  const pair = engine.store.get(auditKeys.index(0))
  return pair && decodeIndex(pair.value)
}

const isArchiving = ({ writes }: { writes: readonly object[] }) =>
  writes.some(write => 'key' in write && String(write.key).includes('/archive/'))

test('what the cleaner deletes is in the archive, byte for byte, and the log is bounded as ever', async () => {
  const world = await startAudited()
  const seen = new Map<number, string>()
  for (let part = 0; part < 10; part++) {
    await cycles(world.server, 30)
    for (const { seq, hash } of logOf(world)) seen.set(seq, hash)
    await world.clock.pass(200)
  }
  const log = logOf(world)
  assert.ok(log[0]!.seq > 100, 'the cleaner has worked')
  const index = indexOf(world)!
  assert.equal(index.segments[0]!.first, 0)
  assert.equal(index.anchor, '')
  const archived = index.segments.flatMap(({ first }) =>
    decodeSegment(world.engine.store.get(auditKeys.segment(0, first))!.value)!.map((bytes, place) => ({
      seq: first + place,
      bytes,
    })),
  )
  assert.deepEqual(
    archived.map(({ seq }) => seq),
    archived.map((_, place) => place),
  )
  assert.ok(archived.length >= log[0]!.seq, 'nothing has been deleted that is not archived')
  const { hashBatch } = await import('../shards/batch.ts')
  for (const { seq, bytes } of archived) if (seen.has(seq)) assert.equal(hashBatch(bytes), seen.get(seq))
  assert.deepEqual((await settled(world.clock, world.audit.check())).problems, [])
})

test('the cleaner waits for the archive; when it works again, the cleaner goes on', async () => {
  const world = await startAudited({ isStrict: true })
  world.engine.hold(isArchiving)
  await cycles(world.server, 60)
  await world.clock.pass(PATIENCE_MS * 2)
  assert.equal(logOf(world)[0]!.seq, 0)
  world.engine.letGo()
  await world.clock.pass(1_000)
  await cycles(world.server, 10)
  await world.clock.pass(1_000)
  assert.ok(logOf(world)[0]!.seq > 40)
  assert.equal(world.told.lost, 0)
})

test('a batch is durable and its caller answered while the archive is stuck', async () => {
  const world = await startAudited({ isStrict: true })
  world.engine.hold(isArchiving)
  await cycles(world.server, 40)
  assert.ok(world.engine.requests.some(isArchiving), 'it has tried')
})

for (const isStrict of [false, true])
  test(`an archive that fails for PATIENCE_MS ${isStrict ? 'stops the cleaner for good where the audit is strict' : 'is not waited for: what is lost is counted, and said by the check'}`, async () => {
    const world = await startAudited({ isStrict })
    let isBroken = false
    await cycles(world.server, 30)
    await world.clock.pass(1_000)
    isBroken = true
    // A commit of unknown outcome is asked about again and again; a failure is what reading gives.
    const { list } = world.engine
    world.engine.list = options =>
      isBroken && options.limit === PAGE_BATCHES
        ? Promise.reject(new Error('broken'))
        : list.call(world.engine, options)
    await cycles(world.server, 40)
    await world.clock.pass(PATIENCE_MS + 5_000)
    await cycles(world.server, 40)
    await world.clock.pass(5_000)
    const first = logOf(world)[0]!.seq
    assert.ok(world.told.failed > 0)
    isBroken = false
    await world.clock.pass(5_000)
    await cycles(world.server, 40)
    await world.clock.pass(5_000)
    const { problems } = await settled(world.clock, world.audit.check())
    if (isStrict) {
      assert.equal(world.told.lost, 0)
      assert.deepEqual(problems, [])
    } else {
      assert.ok(first > 60)
      assert.ok(world.told.lost > 0)
      assert.deepEqual(
        problems.map(({ kind }) => kind),
        ['missing'],
      )
      assert.equal(indexOf(world)!.lost, world.told.lost)
    }
  })

test('what the cleaner takes between two pages of a segment ends that segment, and is counted as lost', async () => {
  const world = await startAudited()
  const { engine, clock, server, told } = world
  engine.fate = request => (isArchiving(request) ? 'refuse' : 'pass')
  await cycles(server, 60)
  const { list } = engine
  let taken: number[] = []
  engine.list = options => {
    const isSecond = options.limit === PAGE_BATCHES && options.after !== undefined
    if (isSecond && taken.length === 0) {
      const seqs = logOf(world).map(({ seq }) => seq)
      taken = seqs.filter(seq => keys.batch(0, seq) > String(options.after)).slice(0, 5)
      engine.store.commit({ checks: [], writes: taken.map(seq => ({ key: keys.batch(0, seq), delete: true })) })
    }
    return list.call(engine, options)
  }
  engine.fate = () => 'pass'
  await clock.pass(5_000)
  await cycles(server, 30)
  await clock.pass(5_000)
  assert.equal(taken.length, 5)
  const { segments, lost } = indexOf(world)!
  for (const { first, last } of segments)
    assert.equal(decodeSegment(engine.store.get(auditKeys.segment(0, first))!.value)!.length, last - first + 1)
  assert.deepEqual([told.lost, lost], [5, 5])
  const { problems } = await settled(clock, world.audit.check())
  assert.deepEqual(
    problems.map(({ kind, seq }) => ({ kind, seq })),
    [{ kind: 'missing', seq: taken[0] }],
  )
})

test('what the cleaner takes before there is any segment is counted, if it was seen waiting for one', async () => {
  const world = await startAudited()
  const { engine, clock, server, told } = world
  engine.fate = request => (isArchiving(request) ? 'refuse' : 'pass')
  await cycles(server, 60)
  assert.ok(told.failed > 0)
  for (let seq = 0; seq < 5; seq++)
    engine.store.commit({ checks: [], writes: [{ key: keys.batch(0, seq), delete: true }] })
  engine.fate = () => 'pass'
  await clock.pass(5_000)
  assert.equal(indexOf(world)!.segments[0]!.first, 5)
  assert.deepEqual([told.lost, indexOf(world)!.lost], [5, 5])
})

test('a server that no longer owns the shard archives nothing', async () => {
  const world = await startAudited()
  await cycles(world.server, 30)
  await world.clock.pass(1_000)
  const archived = indexOf(world)!.segments.length
  world.engine.hold(isArchiving)
  await cycles(world.server, 30)
  const { engine } = world
  const held = engine.requests.filter(isArchiving).length
  await restart(world)
  // The commit of the former owner arrives late.
  for (const request of engine.requests.filter(isArchiving).slice(held - 1)) {
    const result = await engine.inner.commit(request)
    assert.equal(result.ok, false)
  }
  assert.equal(indexOf(world)!.segments.length, archived)
})

test('segments of SEGMENT_BYTES_MAX are cut by size, and dropped by bytes and by age; the chain can be checked from the oldest kept', async () => {
  const world = await startAudited({ retention: { ageMs: 100 * 86_400_000, bytesMax: 20_000 } })
  for (let part = 0; part < 20; part++) {
    await cycles(world.server, 40)
    await world.clock.pass(500)
  }
  const { segments, anchor } = indexOf(world)!
  assert.ok(segments[0]!.first > 0)
  assert.notEqual(anchor, '')
  assert.ok(segments.reduce((sum, { bytes }) => sum + bytes, 0) <= 20_000 || segments.length === 1)
  assert.ok(segments.every(({ bytes }) => bytes <= SEGMENT_BYTES_MAX))
  const stored = world.engine.store.list({ prefix: auditKeys.segments(0), limit: 10_000 }).pairs
  assert.equal(stored.length, segments.length)
  assert.deepEqual((await settled(world.clock, world.audit.check())).problems, [])
  // 101 days later all that was archived before is too old.
  world.clock.pause(101 * 86_400_000)
  await world.clock.pass(1_000)
  for (let part = 0; part < 10; part++) {
    await cycles(world.server, 40)
    await world.clock.pass(1_000)
  }
  const later = indexOf(world)!.segments
  assert.ok(later[0]!.first > segments.at(-1)!.last)
  assert.deepEqual((await settled(world.clock, world.audit.check())).problems, [])
})

test('what may be kept is shared out among the shards that the cluster has, whatever a later server is told', async () => {
  const retention = { ageMs: 100 * 86_400_000, bytesMax: 320_000 }
  const first = await startAudited({ retention, shards: 4 })
  first.engine.kill()
  const engine = new TestEngine(first.engine.store)
  const world = await startAudited({ retention, shards: 1, clock: first.clock, engine })
  for (let part = 0; part < 40; part++) {
    await cycles(world.server, 40)
    await world.clock.pass(500)
  }
  const { segments } = decodeIndex(engine.store.get(auditKeys.index(shardOf('main', 4)))!.value)
  const bytes = segments.reduce((sum, segment) => sum + segment.bytes, 0)
  assert.ok(bytes <= 80_000 || segments.length === 1, `${bytes} bytes in ${segments.length} segments`)
})

test('what is too old goes within an hour, though nothing more happens; the newest segment stays', async () => {
  const world = await startAudited({ retention: { ageMs: 3_600_000, bytesMax: 2 ** 30 } })
  for (let part = 0; part < 5; part++) {
    await cycles(world.server, 40)
    await world.clock.pass(500)
  }
  assert.ok(indexOf(world)!.segments.length > 1)
  world.clock.pause(2 * 3_600_000)
  await world.clock.pass(1_000)
  assert.equal(indexOf(world)!.segments.length, 1)
  assert.deepEqual((await settled(world.clock, world.audit.check())).problems, [])
})

test('an index has at most SEGMENTS_MAX lines, and AUDIT_BYTES_MIN is worth some segments', () => {
  assert.ok(SEGMENTS_MAX * SEGMENT_BYTES_MAX >= 2 ** 31)
  assert.ok(AUDIT_BYTES_MIN >= 8 * SEGMENT_BYTES_MAX)
})

test('a segment gives back its batches, and nothing when it was cut anywhere', () => {
  const batches = [Buffer.from('one'), Buffer.from('the second'), Buffer.from('3')]
  const bytes = encodeSegment(batches)
  assert.deepEqual(decodeSegment(bytes), batches)
  for (let length = 0; length < bytes.length; length++) {
    const cut = decodeSegment(bytes.subarray(0, length))
    assert.ok(cut === null || cut.length < batches.length)
  }
})

test('without retention nothing is archived, and the cleaner goes on', async () => {
  const world = await startAudited({ retention: null })
  await cycles(world.server, 60)
  await world.clock.pass(1_000)
  assert.ok(logOf(world)[0]!.seq > 20)
  assert.equal(indexOf(world), null)
  assert.ok((await allRecords(world)).length > 0)
})

test('carried entries are no records: what is held for long is told once', async () => {
  const world = await startAudited()
  const session = await world.server.session(3_600_000)
  await world.server.grant(session, 'kept')
  for (let part = 0; part < 5; part++) {
    await cycles(world.server, 40)
    await world.clock.pass(200)
  }
  assert.ok(logOf(world)[0]!.seq > 60)
  assert.equal(keys.log(0).startsWith('test/'), true)
  const records = await allRecords(world, { lock: 'kept' })
  assert.deepEqual(
    records.map(({ action }) => action),
    ['lock.acquire'],
  )
})

test('a batch that is larger than a segment is archived as it is, though nothing comes after it', async () => {
  const world = await startAudited({ retention: null })
  const { clock, engine, server } = world
  await cycles(server, 3)
  const seq = 1 + (logOf(world).at(-1)?.seq ?? 0)
  // What a batch says is not looked at.
  const value = randomBytes(SEGMENT_BYTES_MAX + 1)
  engine.store.commit({ checks: [], writes: [{ key: keys.batch(0, seq), value }] })
  const archive = archiveOf({
    engine,
    clock,
    calendar: { now: () => clock.wallMs() },
    root: 'test',
    retention: forEver,
    isStrict: false,
    telemetry: { archived: () => {}, holds: () => {}, failed: () => {}, lost: () => {} },
  })?.({
    shard: 0,
    shards: 1,
    ownerRevision: () => engine.store.get(keys.owner(0))?.modRevision ?? 0,
    progressed: () => {},
  })
  archive?.appended(SEGMENT_BYTES_MAX + 1)
  await clock.pass(1_000)
  const last = indexOf(world)?.segments.at(-1)
  assert.deepEqual([last?.first, last?.last], [seq, seq])
  assert.ok(last && last.bytes > SEGMENT_BYTES_MAX)
  archive?.stop()
})
