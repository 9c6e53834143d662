/** What a clock that is wrong may do to what goes by the calendar: the trail, the sums of usage, bills, and instances that were deleted. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { Administration } from '../administration/administration.ts'
import { createInstance } from '../administration/instances.ts'
import { deleteInstance } from '../administration/lifecycle.ts'
import { Reclaimer } from '../administration/reclaiming.ts'
import { decodeIndex } from '../audit/archive-index.ts'
import { auditKeys, cycles, settled, startAudited } from '../audit/testing.ts'
import { countKeysUnder, groupOf } from '../instances/counts.ts'
import { Exporter } from '../instances/exporter.ts'
import { Meter } from '../instances/meter.ts'
import { defaultPlans } from '../instances/plans.ts'
import type { UsageRecord } from '../instances/submission.ts'
import { instance, readFrom } from '../instances/testing.ts'
import { systemRandom } from '../random.ts'
import { memoryRegistry } from '../registry/testing.ts'
import { FakeClock, startServer, TestEngine } from '../shards/testing.ts'
import { MOVED_MS, STEP_MS, STOOD_MS, StoredCalendar } from './calendar.ts'

const DAY_MS = 24 * 60 * 60 * 1_000
const HOUR_MS = DAY_MS / 24
const by = { subject: 'root', from: '', trace: '' }

type World = { clock: FakeClock; engine: TestEngine; calendar: StoredCalendar; alarms: string[] }

/** One server on a store. */
async function opened({ clock = new FakeClock(), engine = new TestEngine() } = {}): Promise<World> {
  const alarms: string[] = []
  const calendar = new StoredCalendar({ engine, clock, root: 'test', alarm: what => void alarms.push(what) })
  await calendar.start()
  return { clock, engine, calendar, alarms }
}

/** The same, after the calendar has been believed for the first time. */
async function stood(): Promise<World> {
  const world = await opened()
  await hour(world.clock)
  assert.equal(world.calendar.now(), world.clock.wallMs())
  return world
}

async function hour(clock: FakeClock): Promise<void> {
  clock.pause(STOOD_MS)
  await clock.runTimers()
}

test('on a store of which nothing is known the clock is believed when it has stood for STOOD_MS', async () => {
  const { clock, calendar, alarms } = await opened()
  assert.equal(calendar.now(), null)
  clock.pause(STOOD_MS - 1)
  assert.equal(calendar.now(), null)
  await hour(clock)
  assert.equal(calendar.now(), clock.wallMs())
  assert.deepEqual(alarms, [])
})

test('a clock that is set by more than MOVED_MS is told, and believed again when it has stood', async () => {
  for (const byMs of [400 * DAY_MS, -400 * DAY_MS, MOVED_MS + 1, -MOVED_MS - 1]) {
    const { clock, calendar, alarms } = await stood()
    clock.set(byMs)
    assert.equal(calendar.now(), null)
    assert.equal(alarms.length, 1)
    await clock.pass(10_000)
    clock.set(-byMs)
    assert.equal(calendar.now(), null)
    assert.equal(alarms.length, 2)
    await hour(clock)
    assert.equal(calendar.now(), clock.wallMs())
  }
  const { clock, calendar, alarms } = await stood()
  for (const byMs of [MOVED_MS, -MOVED_MS]) {
    clock.set(byMs)
    assert.equal(calendar.now(), clock.wallMs())
  }
  clock.suspend(30 * HOUR_MS)
  assert.notEqual(calendar.now(), null, 'a machine that slept is no clock that was set')
  assert.deepEqual(alarms, [])
})

test('a start within STEP_MS of what the store has seen goes on at once, and one beyond says so and waits', async () => {
  const { clock, engine } = await stood()
  clock.pause(STEP_MS)
  const next = await opened({ clock, engine })
  assert.equal(next.calendar.now(), clock.wallMs())
  for (const byMs of [400 * DAY_MS, -400 * DAY_MS]) {
    clock.set(byMs)
    const wrong = await opened({ clock, engine })
    assert.equal(wrong.calendar.now(), null)
    assert.match(wrong.alarms.join(), byMs > 0 ? /401 days ahead of what the store/ : /399 days back of what the store/)
    clock.set(-byMs)
  }
})

test('however wrong the clock is, and for however long, the calendar goes on by STEP_MS for each STOOD_MS; and back at once', async () => {
  const first = await stood()
  const { clock, engine } = first
  first.calendar.stop()
  const seenAt = clock.wallMs()
  clock.set(400 * DAY_MS)
  const { calendar } = await opened({ clock, engine })
  for (let step = 1; step <= 10; step++) {
    await hour(clock)
    // What may rest on it now, and what the store has been told of it.
    assert.ok(calendar.now()! <= seenAt + (step + 1) * STEP_MS, `step ${step}`)
    assert.ok(calendar.now()! > seenAt + step * STEP_MS - HOUR_MS)
  }
  clock.set(-400 * DAY_MS)
  assert.equal(calendar.now(), null)
  await hour(clock)
  assert.equal(calendar.now(), clock.wallMs())
  assert.equal((await opened({ clock, engine })).calendar.now(), clock.wallMs(), 'and the store knows it')
})

test('a store that is away, or another server that was quicker, changes nothing but the time', async () => {
  const { clock, engine, calendar, alarms } = await stood()
  const other = await opened({ clock, engine })
  engine.fate = () => 'refuse'
  await hour(clock)
  assert.equal(alarms.length, 1)
  engine.fate = () => 'pass'
  for (let step = 0; step < 30; step++) await hour(clock)
  assert.deepEqual([calendar.now(), other.calendar.now()], [clock.wallMs(), clock.wallMs()])
  assert.equal(alarms.length, 1)
})

test('the trail of a year survives a clock that is 400 days ahead for ten seconds, and what it wrote then goes in its turn', async () => {
  const { clock, engine, calendar } = await stood()
  const world = await startAudited({ clock, engine, calendar })
  const segments = () => decodeIndex(engine.store.get(auditKeys.index(0))!.value).segments
  const work = async () => {
    await cycles(world.server, 30)
    await clock.pass(200)
  }
  for (let part = 0; part < 6; part++) await work()
  const before = segments()
  assert.ok(before.length > 3)
  clock.set(400 * DAY_MS)
  for (let part = 0; part < 3; part++) await work()
  clock.set(-400 * DAY_MS)
  for (let part = 0; part < 3; part++) await work()
  assert.deepEqual(segments().slice(0, before.length), before)
  assert.ok(
    segments().some(({ at }) => at > clock.wallMs()),
    'a label is as wrong as the clock was',
  )
  const now = segments()
  for (let day = 0; day <= 366; day++) {
    clock.pause(DAY_MS)
    await clock.runTimers()
  }
  await clock.pass(1_000)
  assert.deepEqual(segments(), now.slice(-1))
  assert.deepEqual((await settled(clock, world.audit.check())).problems, [])
})

test('sums of usage survive it', async () => {
  const { clock, engine, calendar } = await stood()
  const alarm = (what: string) => assert.fail(what)
  const owned = () => [{ shard: 0, epoch: 1 }]
  const meter = new Meter({
    engine,
    clock,
    calendar,
    root: 'test',
    server: 'one',
    owned,
    read: readFrom(engine),
    alarm,
  })
  const { server } = await startServer({ clock, engine, logged: meter.logged })
  const work = async () => {
    await server.session(60_000, 'one')
    await meter.flush()
  }
  const prefix = countKeysUnder('test', 0).group(groupOf('one'))
  const hours = () => engine.store.list({ prefix, limit: 1_000 }).pairs.map(({ key }) => key)
  for (let count = 0; count < 3; count++) {
    await work()
    clock.pause(HOUR_MS)
    await clock.pass(100)
  }
  const before = hours()
  assert.equal(before.length, 3)
  clock.set(401 * DAY_MS)
  await work()
  clock.set(-401 * DAY_MS)
  await work()
  assert.deepEqual(hours().slice(0, 3), before)
  await server.shards.close()
})

test('no hour is billed before it is over by a clock that has stood', async () => {
  const { clock, engine, calendar } = await stood()
  const sent: UsageRecord[] = []
  const submit = async (records: readonly UsageRecord[]) => {
    sent.push(...records)
    return records.map(() => ({ type: 'accepted' as const }))
  }
  const registry = memoryRegistry(instance('a', 'standard', 1))
  const alarm = (what: string) => assert.fail(what)
  const exporter = new Exporter({
    ...{ engine, clock, calendar, root: 'test', registry, alarm },
    ...{ serviceName: 'go-etcd-lock', config: { submit }, isTurn: () => true },
  })
  await exporter.run()
  clock.pause(2 * HOUR_MS)
  await exporter.run()
  const before = sent.length
  assert.ok(before > 0)
  clock.set(30 * DAY_MS)
  await exporter.run()
  assert.equal(sent.length, before)
  clock.set(-30 * DAY_MS)
  await exporter.run()
  await hour(clock)
  await exporter.run()
  assert.ok(sent.length > before)
  assert.ok(sent.every(({ end }) => end <= clock.wallMs()))
})

/** An instance that was deleted just now, and whoever makes it go for good. */
async function deleted({ clock, calendar }: World) {
  const registry = memoryRegistry(...defaultPlans.map(value => ({ kind: 'plan', id: value.id, value }) as const))
  const options = { registry, clock, random: systemRandom, serviceName: 'go-etcd-lock', region: 'local' }
  const { id } = await createInstance(options, by, { name: 'x', plan: 'standard', capacityUnits: 10 })
  await deleteInstance(options, by, { id, side: 'service' })
  // What else the doors need is not asked here.
  const administration = { ...options, forget: async () => undefined } as unknown as Administration
  const reclaimer = new Reclaimer(administration, { clock, calendar }, error => assert.fail(String(error)))
  const look = async (afterMs: number) => {
    clock.pause(afterMs)
    await clock.runTimers()
    return { isThere: registry.get('instance', id) !== null, remains: registry.get('reclaimed', id) !== null }
  }
  return { look, reclaimer }
}

test('an instance that was deleted goes for good after a week, and what it is billed by after two months', async () => {
  const clock = new FakeClock()
  const { look, reclaimer } = await deleted({
    ...(await opened()),
    clock,
    calendar: { now: () => clock.wallMs() } as StoredCalendar,
  })
  assert.deepEqual(await look(7 * DAY_MS - HOUR_MS), { isThere: true, remains: false })
  assert.deepEqual(await look(HOUR_MS), { isThere: false, remains: true })
  assert.deepEqual(await look(62 * DAY_MS - HOUR_MS), { isThere: false, remains: true })
  assert.deepEqual(await look(HOUR_MS), { isThere: false, remains: false })
  reclaimer.close()
})

test('an instance that was deleted a minute ago can be restored though the clock was wrong for a while', async () => {
  const world = await stood()
  const { look, reclaimer } = await deleted(world)
  world.clock.set(30 * DAY_MS)
  assert.deepEqual(await look(HOUR_MS), { isThere: true, remains: false })
  world.clock.set(-30 * DAY_MS)
  for (let step = 0; step < 5; step++) assert.deepEqual(await look(HOUR_MS), { isThere: true, remains: false })
  reclaimer.close()
})
