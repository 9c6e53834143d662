/** Reports of usage: what an instance was provided, what it costs, and what happened. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { USAGE_ROWS_MAX } from '@holdfast/protocol/limits'
import { memoryRegistry } from '../registry/testing.ts'
import { FakeClock, startServer, TestEngine } from '../shards/testing.ts'
import { planIdOf } from './catalog-ids.ts'
import { Instances, offerDefaultPlans } from './instances.ts'
import { defaultPlans } from './plans.ts'
import { instance, readFrom, startMs } from './testing.ts'
import { HOUR_MS } from './unit-hours.ts'
import { periodOf, usageOf } from './usage.ts'

const DAY_MS = 24 * HOUR_MS
const refused = (code: string) => (error: unknown) => (error as { code?: string }).code === code

test('a report tells unit hours, cost and what happened by the hour, day or month, and what the month will cost', async () => {
  const clock = new FakeClock()
  const engine = new TestEngine()
  const registry = memoryRegistry(instance('a', 'standard', 20, startMs + HOUR_MS / 2))
  const options = { engine, clock, root: 'test', registry, serviceName: 'go-etcd-lock' }
  const instances = new Instances({
    ...options,
    calendar: { now: () => clock.wallMs() },
    serviceName: 'go-etcd-lock',
    export: null,
    read: readFrom(engine),
    alarm: what => assert.fail(what),
  })
  const { server } = await startServer({ clock, engine, termsOf: instances.termsOf, logged: instances.logged })
  instances.start({ server: 'one', owned: () => [{ shard: 0, epoch: 1 }] })
  const session = await server.session(60_000, 'a')
  await server.grant(session, 'x', 'a')
  clock.pause(HOUR_MS)
  await clock.pass(100)
  const again = await server.session(60_000, 'a')
  await server.grant(again, 'y', 'a')
  clock.pause(startMs + 2 * HOUR_MS - clock.wallMs())
  await clock.pass(11_000)
  const hours = await usageOf(options, 'a', { by: 'hour', toMs: startMs + 2 * HOUR_MS })
  assert.deepEqual(
    hours.rows.map(({ fromMs, unitHours, costUsd, operations }) => [fromMs, unitHours, costUsd, operations.granted]),
    [
      [startMs, 10, 0.1, 1],
      [startMs + HOUR_MS, 20, 0.2, 1],
    ],
  )
  const [day] = (await usageOf(options, 'a', { by: 'day', toMs: startMs + 2 * HOUR_MS })).rows
  assert.deepEqual([day?.unitHours, day?.costUsd, day?.operations.granted], [30, 0.3, 2])
  // 31 days of two blocks, less the half hour before it was made.
  assert.equal(hours.month.forecastUsd, 148.7)
  assert.equal(hours.month.costUsd, Math.round(((clock.wallMs() - startMs - HOUR_MS / 2) / 36) * 0.2) / 100_000)
  // Of what is yet to come nothing has been used.
  const ahead = await usageOf(options, 'a', { fromMs: startMs + DAY_MS, toMs: startMs + 2 * DAY_MS })
  assert.deepEqual(
    ahead.rows.map(({ unitHours }) => unitHours),
    [0],
  )
  const own = await usageOf(options, 'default', {})
  assert.deepEqual([own.instance.plan, own.month.costUsd, own.month.forecastUsd], ['unmetered', 0, 0])
  await assert.rejects(usageOf(options, 'nobody', {}), refused('not_found'))
  await instances.close()
  await server.shards.close()
})

test('a row tells the hours of each plan, in the order in which they came, whatever the plan is by now', async () => {
  const clock = new FakeClock()
  const made = instance('a', 'premium', 7, startMs)
  const history = [
    { plan: 'standard', capacityUnits: 20, fromMs: startMs },
    { plan: 'premium', capacityUnits: 7, fromMs: startMs + HOUR_MS / 4 },
  ]
  const registry = memoryRegistry({ ...made, value: { ...made.value, history } })
  const options = { engine: new TestEngine(), clock, root: 'test', registry, serviceName: 'go-etcd-lock' }
  clock.pause(startMs + 2 * HOUR_MS - clock.wallMs())
  const { rows } = await usageOf(options, 'a', { by: 'hour', fromMs: startMs, toMs: startMs + 2 * HOUR_MS })
  const [standard, premium] = ['standard', 'premium'].map(plan => planIdOf({ serviceName: 'go-etcd-lock', plan }))
  assert.deepEqual(
    rows.map(({ byPlan }) => byPlan.map(({ planId, unitHours }) => [planId, unitHours])),
    [
      [
        [standard, 5],
        [premium, 5.25],
      ],
      [[premium, 7]],
    ],
  )
})

test('a report has USAGE_ROWS_MAX rows and not one more; rows are cut at UTC hours, days and months', async () => {
  const clock = new FakeClock()
  const engine = new TestEngine()
  const options = { engine, clock, root: 'test', registry: memoryRegistry(), serviceName: 'go-etcd-lock' }
  const hours = (count: number) =>
    usageOf(options, 'default', { fromMs: startMs, toMs: startMs + count * HOUR_MS, by: 'hour' })
  assert.equal((await hours(USAGE_ROWS_MAX)).rows.length, USAGE_ROWS_MAX)
  await assert.rejects(hours(USAGE_ROWS_MAX + 1), refused('invalid_request'))
  await assert.rejects(usageOf(options, 'default', { fromMs: startMs + 1, toMs: startMs }), refused('invalid_request'))
  const middle = Date.UTC(2028, 1, 29, 13, 30)
  assert.deepEqual(periodOf(middle, 'hour'), { fromMs: Date.UTC(2028, 1, 29, 13), toMs: Date.UTC(2028, 1, 29, 14) })
  assert.deepEqual(periodOf(middle, 'day'), { fromMs: Date.UTC(2028, 1, 29), toMs: Date.UTC(2028, 2, 1) })
  assert.deepEqual(periodOf(middle, 'month'), { fromMs: Date.UTC(2028, 1, 1), toMs: Date.UTC(2028, 2, 1) })
  const cut = await usageOf(options, 'default', { fromMs: middle, toMs: Date.UTC(2028, 3, 2), by: 'month' })
  assert.deepEqual(
    cut.rows.map(({ fromMs, toMs }) => [fromMs, toMs]),
    [
      [middle, Date.UTC(2028, 2, 1)],
      [Date.UTC(2028, 2, 1), Date.UTC(2028, 3, 1)],
      [Date.UTC(2028, 3, 1), Date.UTC(2028, 3, 2)],
    ],
  )
})

test('a new service offers its plans; those that are there stay as they are', async () => {
  const registry = memoryRegistry({ kind: 'plan', id: 'premium', value: { ...defaultPlans[1]!, priceUsd: 7 } })
  await offerDefaultPlans(registry)
  await offerDefaultPlans(registry)
  assert.deepEqual(
    [...registry.all('plan')].map(({ id }) => id),
    ['premium', 'standard', 'unmetered'],
  )
  assert.equal(registry.get('plan', 'premium')?.priceUsd, 7)
  assert.equal(registry.seq, 1)
})

test('a report begins with the hour, day or month in which the instance was made, however early it is asked for', async () => {
  const clock = new FakeClock()
  const madeAtMs = startMs + 20 * DAY_MS + HOUR_MS / 2
  clock.pause(madeAtMs + 5 * 60_000 - clock.wallMs())
  const made = instance('a', 'standard', 10, madeAtMs)
  const registry = memoryRegistry({ ...made, value: { ...made.value, createdAtMs: madeAtMs } })
  const options = { engine: new TestEngine(), clock, root: 'test', registry, serviceName: 'go-etcd-lock' }
  const rows = async (asked: Parameters<typeof usageOf>[2]) => (await usageOf(options, 'a', asked)).rows
  const hourMs = startMs + 20 * DAY_MS
  const nowMs = clock.wallMs()
  for (const asked of [{}, { fromMs: startMs - 400 * DAY_MS }, { fromMs: madeAtMs - 1 }]) {
    const [first, ...more] = await rows({ by: 'hour', ...asked })
    assert.deepEqual(more, [])
    assert.deepEqual([first?.fromMs, first?.toMs], [Math.max(hourMs, asked.fromMs ?? 0), nowMs])
    assert.ok((first?.unitHours ?? 0) > 0.8)
  }
  assert.deepEqual(
    (await rows({})).map(({ fromMs }) => fromMs),
    [hourMs],
  )
  assert.deepEqual(
    (await rows({ by: 'month' })).map(({ fromMs }) => fromMs),
    [startMs],
  )
  assert.deepEqual(await rows({ fromMs: startMs, toMs: hourMs }), [], 'all of it is before')
  const later = { fromMs: nowMs, toMs: nowMs + 2 * HOUR_MS, by: 'hour' } as const
  assert.equal((await rows(later)).length, 3)
})
