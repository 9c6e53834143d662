/** Reports of usage, and their way to a metering service that fails, answers in part, and forgets to answer. */
import assert from 'node:assert/strict'
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'
import { test } from 'node:test'
import { USAGE_ROWS_MAX } from '@holdfast/protocol/limits'
import { systemClock } from '../clock.ts'
import { instanceRecord, memoryRegistry } from '../registry/testing.ts'
import { FakeClock, startServer, TestEngine } from '../shards/testing.ts'
import { Exporter, RECORDS_PER_SUBMISSION_MAX, type Submit } from './exporter.ts'
import { Instances, offerDefaultPlans } from './instances.ts'
import { defaultPlans } from './plans.ts'
import { ANSWER_BYTES_MAX, submitTo, type UsageRecord } from './submission.ts'
import { readFrom } from './testing.ts'
import { HOUR_MS } from './unit-hours.ts'
import { periodOf, usageOf } from './usage.ts'

const DAY_MS = 24 * HOUR_MS
/** Of `FakeClock`. */
const startMs = Date.UTC(2030, 0, 1)
const instance = (id: string, plan: string, capacityUnits: number, fromMs = startMs) => ({
  kind: 'instance' as const,
  id,
  value: instanceRecord({ id, plan, capacityUnits, history: [{ plan, capacityUnits, fromMs }] }),
})
const refused = (code: string) => (error: unknown) => (error as { code?: string }).code === code

test('a report tells unit hours, cost and what happened by the hour, day or month, and what the month will cost', async () => {
  const clock = new FakeClock()
  const engine = new TestEngine()
  const registry = memoryRegistry(instance('a', 'standard', 20, startMs + HOUR_MS / 2))
  const options = { engine, clock, root: 'test', registry }
  const instances = new Instances({
    ...options,
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

test('a report has USAGE_ROWS_MAX rows and not one more; rows are cut at UTC hours, days and months', async () => {
  const clock = new FakeClock()
  const engine = new TestEngine()
  const options = { engine, clock, root: 'test', registry: memoryRegistry() }
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

// ------------------------------------------------------------------------------------------------ submission

type Received = { record: UsageRecord; isAccepted: boolean }

function exporting(submit: Submit, ...puts: Parameters<typeof memoryRegistry>) {
  const clock = new FakeClock()
  const engine = new TestEngine()
  const registry = memoryRegistry(...puts)
  const alarms: string[] = []
  const alarm = (what: string) => void alarms.push(what)
  const start = () =>
    new Exporter({ engine, clock, root: 'test', registry, config: { submit }, isTurn: () => true, alarm })
  return { clock, registry, alarms, start, engine }
}

const keyOf = ({ resource_instance_id, plan_id, start }: UsageRecord) => `${resource_instance_id} ${plan_id} ${start}`

test('each closed hour of each instance is submitted once, by any number of servers, with what it was provided', async () => {
  const sent: UsageRecord[] = []
  const submit: Submit = async records => {
    sent.push(...records)
    return records.map(() => true)
  }
  const { clock, registry, start } = exporting(submit, instance('a', 'standard', 10), instance('b', 'premium', 3))
  registry.put(instance('free', 'unmetered', 0))
  const [one, two] = [start(), start()]
  await one.run()
  assert.equal(sent.length, 0, 'the first hour is not over')
  clock.pause(3 * HOUR_MS)
  await Promise.all([one.run(), two.run()])
  await start().run()
  const twoHours = sent.filter(({ start: at }) => at === startMs || at === startMs + HOUR_MS)
  assert.equal(new Set(sent.map(keyOf)).size, 4)
  assert.equal(twoHours.length, sent.length, 'the third hour is closed a minute later')
  for (const { start: from, end, region, measured_usage } of sent) {
    assert.deepEqual([end - from, region], [HOUR_MS, 'local'])
    assert.ok([10, 3].includes(measured_usage[0]!.quantity) && measured_usage[0]!.measure === 'CAPACITY_UNIT_HOURS')
  }
  const before = sent.length
  clock.pause(60_000)
  await one.run()
  await two.run()
  assert.equal(sent.length, before + 2)
})

test('what was not accepted is sent again as it was, whatever has become of the instance; an hour without answer too', async () => {
  let fate: 'lost' | 'half' | 'all' = 'lost'
  const received: Received[] = []
  const submit: Submit = async records => {
    const accepted = records.map((_, index) => fate !== 'half' || index % 2 === 0)
    for (const [index, one] of records.entries()) received.push({ record: one, isAccepted: accepted[index]! })
    if (fate === 'lost') throw new Error('the answer was lost')
    return accepted
  }
  const many = Array.from({ length: 7 }, (_, index) => instance(`i-${index}`, 'premium', index + 1))
  const { clock, registry, start, alarms } = exporting(submit, ...many)
  await start().run()
  clock.pause(HOUR_MS + 60_000)
  await start().run()
  assert.equal(received.length, 7)
  const first = structuredClone(received.map(({ record }) => record))
  registry.put(instance('i-1', 'premium', 1_000), { kind: 'instance', id: 'i-3', value: null })
  fate = 'half'
  received.length = 0
  await start().run()
  assert.deepEqual(
    received.map(({ record }) => record),
    first,
  )
  const rest = first.filter((_, index) => index % 2 === 1)
  received.length = 0
  fate = 'all'
  await start().run()
  assert.deepEqual(
    received.map(({ record }) => record),
    rest,
  )
  received.length = 0
  await start().run()
  assert.deepEqual(received, [])
  assert.equal(alarms.length, 2)
})

test('a submission has RECORDS_PER_SUBMISSION_MAX instances, and an hour as many submissions as it takes', async () => {
  const sizes: number[] = []
  const submit: Submit = async records => {
    sizes.push(records.length)
    return records.map(() => true)
  }
  const count = 2 * RECORDS_PER_SUBMISSION_MAX + 1
  const many = Array.from({ length: count }, (_, index) => instance(`i-${index}`, 'premium', 1))
  const { clock, start } = exporting(submit, ...many)
  await start().run()
  clock.pause(HOUR_MS + 60_000)
  await start().run()
  assert.deepEqual(
    sizes.sort((one, other) => one - other),
    [1, RECORDS_PER_SUBMISSION_MAX, RECORDS_PER_SUBMISSION_MAX],
  )
})

async function withMeteringService(
  answer: (request: IncomingMessage, response: ServerResponse, body: string) => void,
  act: (url: string) => Promise<void>,
): Promise<void> {
  const server = createServer((request, response) => {
    const chunks: Buffer[] = []
    request.on('data', chunk => chunks.push(chunk))
    request.on('end', () => answer(request, response, Buffer.concat(chunks).toString()))
  })
  await new Promise<void>(resolve => server.listen(0, '127.0.0.1', resolve))
  try {
    await act(`http://127.0.0.1:${(server.address() as AddressInfo).port}`)
  } finally {
    server.closeAllConnections()
    await new Promise(resolve => server.close(resolve))
  }
}

const record = (start: number): UsageRecord => ({
  resource_instance_id: 'crn:v1:bluemix:public:go-etcd-lock:us-south:a/acc:guid::',
  plan_id: 'standard',
  region: 'us-south',
  start,
  end: start + HOUR_MS,
  measured_usage: [{ measure: 'CAPACITY_UNIT_HOURS', quantity: 10 }],
})

test('a metering service is spoken to as IBM says, and believed record by record', async () => {
  const seen: unknown[] = []
  const statuses = [201, 409, 400, 500]
  await withMeteringService(
    (request, response, body) => {
      seen.push(request.method, request.url, request.headers.authorization, request.headers['content-type'])
      seen.push(JSON.parse(body))
      response.writeHead(202, { 'content-type': 'application/json' })
      response.end(JSON.stringify({ resources: statuses.map(status => ({ status })) }))
    },
    async url => {
      const submit = submitTo({ url, resourceId: 'go-etcd-lock', token: async () => 'secret', clock: systemClock })
      const records = statuses.map((_, index) => record(index * HOUR_MS))
      assert.deepEqual(await submit(records), [true, true, false, false])
      const [method, path, authorization, type, sent] = seen
      assert.deepEqual([method, path], ['POST', '/v4/metering/resources/go-etcd-lock/usage'])
      assert.deepEqual([authorization, type], ['Bearer secret', 'application/json'])
      assert.deepEqual(sent, records)
    },
  )
})

test('a service that fails, answers nonsense or too much, or not at all, has accepted nothing as far as is known', async () => {
  const answers: ((response: ServerResponse) => void)[] = [
    response => response.writeHead(500).end(),
    response => response.writeHead(200).end('{"resources":[{"status":201}]}'),
    response => response.writeHead(202).end('no JSON'),
    response => response.writeHead(202).end('null'),
    response => response.writeHead(202).end(`"${'x'.repeat(ANSWER_BYTES_MAX)}"`),
    response => response.destroy(),
    () => undefined,
  ]
  let next = 0
  await withMeteringService(
    (_, response) => answers[next++]!(response),
    async url => {
      const options = { url, resourceId: 'x', token: async () => 't', clock: systemClock, timeoutMs: 200 }
      for (const _ of answers) await assert.rejects(submitTo(options)([record(0)]))
      assert.equal(next, answers.length)
    },
  )
})
