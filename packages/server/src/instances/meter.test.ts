/** Each batch of the log is counted exactly once, whatever happens to whoever counts it. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { FakeClock, type Server, startServer, TestEngine } from '../shards/testing.ts'
import { addCounts, type Counts, countKeysUnder, decodeCounts, GROUPS, groupOf } from './counts.ts'
import { COUNTS_KEPT_MS, Meter } from './meter.ts'
import { readFrom } from './testing.ts'
import { HOUR_MS } from './unit-hours.ts'

/** All that has been counted for the instance, and in how many hours. */
function countedIn(engine: TestEngine, instance: string): { sum: Counts; hours: number } {
  const prefix = countKeysUnder('test', 0).group(groupOf(instance))
  const records = engine.store.list({ prefix, limit: 10_000 }).pairs.map(({ value }) => decodeCounts(value))
  const own = records.flatMap(counts => counts.get(instance) ?? [])
  return { sum: own.reduce(addCounts, {}), hours: own.length }
}

type Options = { engine: TestEngine; clock: FakeClock; epoch?: number; server?: string; alarms?: string[] }

function meterOf({ engine, clock, epoch = 1, server = 'one', alarms }: Options): Meter {
  return new Meter({
    engine,
    clock,
    calendar: { now: () => clock.wallMs() },
    root: 'test',
    server,
    owned: () => [{ shard: 0, epoch }],
    read: readFrom(engine),
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
