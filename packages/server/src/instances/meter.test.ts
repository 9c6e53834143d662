/** Each batch of the log is counted exactly once, whatever happens to whoever counts it. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { encodeEntry } from '../locks/encoding.ts'
import { encodeBatch, GroupText } from '../shards/batch.ts'
import { FakeClock, type Server, startServer, TestEngine } from '../shards/testing.ts'
import { addCounts, type Counts, countKeysUnder, decodeCounts, GROUPS, groupOf } from './counts.ts'
import { COUNTS_KEPT_MS, Meter, type MeterOptions, PART_BYTES_MAX } from './meter.ts'
import { readFrom } from './testing.ts'
import { HOUR_MS } from './unit-hours.ts'

/** All that has been counted for the instance, and in how many hours. */
function countedIn(engine: TestEngine, instance: string): { sum: Counts; hours: number } {
  const prefix = countKeysUnder('test', 0).group(groupOf(instance))
  const records = engine.store.list({ prefix, limit: 10_000 }).pairs.map(({ value }) => decodeCounts(value))
  const own = records.flatMap(counts => counts.get(instance) ?? [])
  return { sum: own.reduce(addCounts, {}), hours: own.length }
}

type Options = { engine: TestEngine; clock: FakeClock; epoch?: number; server?: string; alarms?: string[] } & Partial<
  Pick<MeterOptions, 'read'>
>

function meterOf({ engine, clock, epoch = 1, server = 'one', alarms, read = readFrom(engine) }: Options): Meter {
  return new Meter({
    engine,
    clock,
    calendar: { now: () => clock.wallMs() },
    root: 'test',
    server,
    owned: () => [{ shard: 0, epoch }],
    read,
    alarm: what => (alarms ? void alarms.push(what) : assert.fail(what)),
  })
}

async function work(server: Server, instance: string, times: number): Promise<void> {
  const session = await server.session(60_000, instance)
  for (let index = 0; index < times; index++) {
    const token = await server.grant(session, 'a', instance)
    assert.equal((await server.ask(server.release(session, 'a', token), { instance })).ok, true)
  }
}

test('what happens is counted by instance and hour, and only once', async () => {
  const clock = new FakeClock()
  const engine = new TestEngine()
  const meter = meterOf({ engine, clock })
  const { server } = await startServer({ clock, engine, logged: meter.logged })
  await work(server, 'one', 3)
  await work(server, 'two', 2)
  await meter.flush()
  await meter.flush()
  assert.deepEqual(countedIn(engine, 'one'), { sum: { session_opened: 1, granted: 3, released: 3 }, hours: 1 })
  assert.deepEqual(countedIn(engine, 'two'), { sum: { session_opened: 1, granted: 2, released: 2 }, hours: 1 })
  // Sixty minutes without a renewal: the sessions expire, and the rest is of another hour.
  clock.pause(HOUR_MS)
  await clock.pass(100)
  await work(server, 'one', 1)
  await meter.flush()
  const { sum, hours } = countedIn(engine, 'one')
  assert.deepEqual([sum.granted, sum.released, hours], [4, 4, 2])
  assert.deepEqual(countedIn(engine, 'nobody'), { sum: {}, hours: 0 })
  await server.shards.close()
})

test('what the owner had not written when it died is counted by the next, and nothing twice', async () => {
  const clock = new FakeClock()
  const engine = new TestEngine()
  const first = meterOf({ engine, clock })
  const world = await startServer({ clock, engine, logged: first.logged })
  await work(world.server, 'one', 3)
  await first.flush()
  await work(world.server, 'one', 4)
  engine.kill()
  const next = new TestEngine(engine.store)
  const second = meterOf({ engine: next, clock, epoch: 2, server: 'two' })
  const { server } = await startServer({ clock, engine: next, logged: second.logged })
  await work(server, 'one', 5)
  await second.flush()
  assert.equal(countedIn(next, 'one').sum.granted, 12)
  // A server that still believes that it is its turn adds nothing.
  const late = meterOf({ engine: next, clock, server: 'late' })
  await late.flush()
  late.logged({ shard: 0, seq: 1, at: 0, written: [] })
  await late.flush()
  assert.equal(countedIn(next, 'one').sum.granted, 12)
  await server.shards.close()
})

test('two that count at once, and commits whose outcome is unknown, count each batch once', async () => {
  const clock = new FakeClock()
  const engine = new TestEngine()
  const alarms: string[] = []
  const [one, two] = [meterOf({ engine, clock, alarms }), meterOf({ engine, clock, server: 'two', alarms })]
  const { server } = await startServer({
    clock,
    engine,
    logged: batch => {
      one.logged(batch)
      two.logged(batch)
    },
  })
  let commits = 0
  const fates = ['lose_reply', 'lose', 'pass'] as const
  for (let round = 1; round <= 10; round++) {
    await work(server, 'one', 2)
    engine.fate = ({ writes }) =>
      writes.some(write => 'value' in write && write.key.includes('/usage/')) ? fates[commits++ % 3]! : 'pass'
    const both = Promise.all([one.flush(), two.flush()])
    let isDone = false
    void both.then(() => {
      isDone = true
    })
    while (!isDone) await clock.pass(50)
    engine.fate = () => 'pass'
    assert.equal(countedIn(engine, 'one').sum.granted, 2 * round)
  }
  assert.ok(commits > 20)
  assert.ok(alarms.length > 0)
  await server.shards.close()
})

test('when counting begins late, what is in the log is read; what is no longer anywhere is said to be lost', async () => {
  const clock = new FakeClock()
  const engine = new TestEngine()
  const { server } = await startServer({ clock, engine })
  await work(server, 'one', 6)
  const alarms: string[] = []
  const meter = meterOf({ engine, clock, alarms })
  await meter.flush()
  assert.deepEqual([countedIn(engine, 'one').sum.granted, alarms], [6, []])
  // Batches that the store no longer has, between what was counted and what is heard.
  meter.logged({ shard: 0, seq: 10_000, at: clock.wallMs(), written: [] })
  await meter.flush()
  assert.equal(alarms.length, 1)
  assert.match(alarms[0] ?? '', /to 9999 of shard 0 are gone/)
  await meter.flush()
  assert.equal(alarms.length, 1)
  await server.shards.close()
})

test('a page with very many instances is one commit that every store takes; the hours of more than COUNTS_KEPT_MS ago go', async () => {
  const clock = new FakeClock()
  const engine = new TestEngine()
  const meter = meterOf({ engine, clock })
  const at = Date.UTC(2030, 0, 1)
  const entry = { type: 'granted', record: 'grant', lock: 'a', token: 1, value: null } as const
  const many = Array.from({ length: 5_000 }, (_, index) => ({ instance: `i-${index}`, entries: [entry] }))
  meter.logged({ shard: 0, seq: 0, at, written: many })
  await meter.flush()
  meter.logged({ shard: 0, seq: 1, at: at + COUNTS_KEPT_MS, written: many })
  await meter.flush()
  assert.deepEqual(countedIn(engine, 'i-7'), { sum: { granted: 2 }, hours: 2 })
  meter.logged({ shard: 0, seq: 2, at: at + COUNTS_KEPT_MS + HOUR_MS, written: many })
  await meter.flush()
  assert.deepEqual(countedIn(engine, 'i-7'), { sum: { granted: 3 }, hours: 3 }, 'it is not that late yet')
  const first = countKeysUnder('test', 0).hour(groupOf('i-7'), at)
  assert.notEqual(engine.store.get(first), null)
  clock.pause(COUNTS_KEPT_MS + 2 * HOUR_MS)
  meter.logged({ shard: 0, seq: 3, at: at + COUNTS_KEPT_MS + 2 * HOUR_MS, written: many })
  await meter.flush()
  assert.deepEqual(countedIn(engine, 'i-7'), { sum: { granted: 3 }, hours: 3 })
  assert.equal(engine.store.get(first), null)
  const operations = engine.requests.map(({ checks, writes }) => checks.length + writes.length)
  assert.ok(Math.max(...operations) <= 3 * GROUPS + 2, `${Math.max(...operations)} operations`)
})

test('what does not fit one commit is counted in parts: whoever finishes it, each batch once', async () => {
  const clock = new FakeClock()
  const engine = new TestEngine()
  const alarms: string[] = []
  const names = Array.from({ length: 8_000 }, (_, index) => `${'i'.repeat(120)}${index}`)
  const logged = [0, 1].map(seq => ({ seq, ...batchOf(seq, names) }))
  const world = {
    clock,
    alarms,
    read: async function* (_shard: number, from: number) {
      yield logged.filter(({ seq }) => seq >= from)
    },
  }
  const one = meterOf({ engine, ...world })
  for (const { seq, written } of logged) one.logged({ shard: 0, seq, at: clock.wallMs(), written })
  // It dies between two parts.
  let parts = 0
  engine.fate = () => {
    if (++parts === 2) engine.kill()
    return 'pass'
  }
  const flushed = one.flush().catch(() => undefined)
  await clock.pass(100)
  void flushed
  assert.equal(parts, 2)
  const granted = (of: TestEngine) => {
    const sums = new Map(names.map(name => [name, 0]))
    for (const { value } of of.store.list({ prefix: 'test/usage/0/', limit: 10_000 }).pairs)
      for (const [name, { granted = 0 }] of decodeCounts(value))
        if (sums.has(name)) sums.set(name, sums.get(name)! + granted)
    return [...sums.values()]
  }
  const some = granted(engine).filter(count => count === 2).length
  assert.ok(some > 0 && some < names.length, `${some} of the first part`)
  // The next one hears of batch 2 only, and one that had heard of another page is told by the cursor which it was.
  const next = new TestEngine(engine.store)
  const two = meterOf({ engine: next, ...world, server: 'two', epoch: 2 })
  logged.push({ seq: 2, ...batchOf(2, names) })
  for (const { seq, written } of logged.slice(1)) two.logged({ shard: 0, seq, at: clock.wallMs(), written })
  await two.flush()
  assert.deepEqual([new Set(granted(next)), alarms], [new Set([3]), []])
  const bytes = [...engine.requests, ...next.requests].map(({ writes }) =>
    writes.reduce((sum, write) => sum + ('value' in write ? write.value.length : 0), 0),
  )
  assert.ok(Math.max(...bytes) > PART_BYTES_MAX / 2 && Math.max(...bytes) <= PART_BYTES_MAX, String(bytes))
  // A page that was begun, and whose batches are gone, is said to be lost; what comes after it is counted.
  const third = meterOf({ engine: next, ...world, server: 'three', epoch: 3 })
  logged.push({ seq: 3, ...batchOf(3, names) })
  for (const { seq, written } of logged.slice(3)) third.logged({ shard: 0, seq, at: clock.wallMs(), written })
  parts = 0
  next.fate = () => {
    if (++parts === 2) next.kill()
    return 'pass'
  }
  void third.flush().catch(() => undefined)
  await clock.pass(100)
  logged.length = 0
  const last = new TestEngine(next.store)
  const fourth = meterOf({ engine: last, ...world, server: 'four', epoch: 4 })
  fourth.logged({ shard: 0, seq: 4, at: clock.wallMs(), written: batchOf(4, names).written })
  await fourth.flush()
  assert.deepEqual(alarms, ['batches 3 to 3 of shard 0 are gone and were not counted'])
  assert.deepEqual(new Set(granted(last)), new Set([4, 5]))
})

function batchOf(seq: number, instances: readonly string[]) {
  const entry = { type: 'granted', record: 'grant', lock: 'a', token: 1, value: null } as const
  const entries = new GroupText()
  for (const instance of instances) entries.add(instance, encodeEntry(entry))
  const header = { id: `b-${seq}`, seq, epoch: 1, prev: '', now: 0, at: new FakeClock().wallMs(), live: 0 }
  const bytes = encodeBatch(header, { carried: new GroupText(), entries })
  return { bytes, written: instances.map(instance => ({ instance, entries: [entry] })) }
}
