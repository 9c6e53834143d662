/** The way to a metering service that fails, answers in part, refuses, and forgets to answer. */
import assert from 'node:assert/strict'
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'
import { test } from 'node:test'
import { systemClock } from '../clock.ts'
import { memoryRegistry } from '../registry/testing.ts'
import { FakeClock, TestEngine } from '../shards/testing.ts'
import { planIdOf } from './catalog-ids.ts'
import { Exporter, RECORDS_PER_SUBMISSION_MAX } from './exporter.ts'
import { ANSWER_BYTES_MAX, submitTo } from './metering-service.ts'
import { type Outcome, RefusedWhole, type Submit, type UsageRecord } from './submission.ts'
import { REFUSALS_MAX, RETRY_MS_FIRST, RETRY_MS_MAX } from './submitting.ts'
import { instance, startMs } from './testing.ts'
import { HOUR_MS } from './unit-hours.ts'

type Received = { record: UsageRecord; isAccepted: boolean }

const serviceName = 'go-etcd-lock'

function exporting(submit: Submit, ...puts: Parameters<typeof memoryRegistry>) {
  const clock = new FakeClock()
  const engine = new TestEngine()
  const calendar = { now: () => clock.wallMs() }
  const registry = memoryRegistry(...puts)
  const alarms: string[] = []
  const alarm = (what: string) => void alarms.push(what)
  const options = { engine, clock, calendar, root: 'test', registry, serviceName, alarm }
  const start = () => new Exporter({ ...options, config: { submit }, isTurn: () => true })
  return { clock, registry, alarms, start, engine }
}

const accepted: Outcome = { type: 'accepted' }
const keyOf = ({ resource_instance_id, plan_id, start }: UsageRecord) => `${resource_instance_id} ${plan_id} ${start}`

test('each closed hour of each instance is submitted once, by any number of servers, with what it was provided', async () => {
  const sent: UsageRecord[] = []
  const submit: Submit = async records => {
    sent.push(...records)
    return records.map(() => accepted)
  }
  const { clock, registry, start } = exporting(submit, instance('a', 'standard', 10), instance('b', 'premium', 3))
  registry.put(instance('default', 'unmetered', 1))
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

test('of two that spool at once, one of which is held up, neither puts the cursor back: no hour is submitted twice', async () => {
  const sent: UsageRecord[] = []
  const submit: Submit = async records => {
    sent.push(...records)
    return records.map(() => accepted)
  }
  const { clock, start, engine } = exporting(submit, instance('a', 'standard', 10))
  const [late, quick] = [start(), start()]
  await late.run()
  const place = 'test/usage-export/cursor'
  const cursor = () => Buffer.from(engine.store.get(place)!.value).toString()
  clock.pause(HOUR_MS + 60_000)
  let isHeld = false
  engine.hold(({ writes }) => {
    const isFirst = !isHeld && writes.some(write => 'value' in write && write.key === place)
    isHeld ||= isFirst
    return isFirst
  })
  const held = late.run()
  await clock.settle()
  assert.ok(isHeld)
  await quick.run()
  clock.pause(HOUR_MS)
  await quick.run()
  const moved = cursor()
  engine.letGo()
  await held
  assert.equal(cursor(), moved)
  await quick.run()
  assert.deepEqual(sent.map(keyOf), [...new Set(sent.map(keyOf))])
  assert.equal(sent.length, 2)
})

test('what was not accepted is sent again as it was, whatever has become of the instance; an hour without answer too', async () => {
  let fate: 'lost' | 'half' | 'all' = 'lost'
  const received: Received[] = []
  const submit: Submit = async records => {
    const isAccepted = records.map((_, index) => fate !== 'half' || index % 2 === 0)
    for (const [index, one] of records.entries()) received.push({ record: one, isAccepted: isAccepted[index]! })
    if (fate === 'lost') throw new Error('the answer was lost')
    return isAccepted.map((is): Outcome => ({ type: is ? 'accepted' : 'unknown' }))
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
    return records.map(() => accepted)
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

test('what an instance was provided is submitted once though it is deleted for good within the hour, or its week ends', async () => {
  const sent: UsageRecord[] = []
  const { clock, registry, start } = exporting(
    async records => {
      sent.push(...records)
      return records.map(() => accepted)
    },
    instance('a', 'premium', 1),
    instance('m', 'premium', 1_000),
    instance('z', 'premium', 1),
  )
  const one = start()
  await one.run()
  clock.pause(HOUR_MS / 4)
  const gone = registry.get('instance', 'm')!
  const history = [...gone.history, { plan: 'premium', capacityUnits: 0, fromMs: clock.wallMs() }]
  const value = { ...gone, history, state: 'reclaimed' as const, reclaimedAtMs: clock.wallMs() }
  registry.put({ kind: 'instance', id: 'm', value: null }, { kind: 'reclaimed', id: 'm', value })
  clock.pause(2 * HOUR_MS)
  await Promise.all([one.run(), start().run()])
  const submitted = new Map(sent.map(found => [keyOf(found), found.measured_usage[0]?.quantity]))
  const premium = planIdOf({ serviceName, plan: 'premium' })
  assert.deepEqual(
    [...submitted].map(([key, quantity]) => [key.slice(key.lastIndexOf(':') + 1), quantity]),
    [
      [` ${premium} ${startMs}`, 1],
      [` ${premium} ${startMs}`, 250],
      [` ${premium} ${startMs}`, 1],
      [` ${premium} ${startMs + HOUR_MS}`, 1],
      [` ${premium} ${startMs + HOUR_MS}`, 1],
    ],
  )
})

test('nothing is spooled by a server that has not heard of the store since the hour ended', async () => {
  const sent: UsageRecord[] = []
  const { clock, registry, start } = exporting(async records => {
    sent.push(...records)
    return records.map(() => accepted)
  })
  await start().run()
  registry.isFresh = false
  clock.pause(2 * HOUR_MS)
  await start().run()
  registry.put(instance('a', 'premium', 1))
  registry.isFresh = true
  await start().run()
  assert.equal(sent.length, 1)
})

test('what is refused is said once, holds up no other, is kept, and tried again after RETRY_MS_FIRST, then less often, at least every RETRY_MS_MAX', async () => {
  const sent: string[][] = []
  let isMended = false
  const submit: Submit = async records => {
    sent.push(records.map(({ resource_instance_id }) => resource_instance_id.split(':')[7] ?? ''))
    return records.map(
      ({ resource_instance_id: crn }): Outcome =>
        isMended || !crn.includes(':bad') ? accepted : { type: 'refused', why: '404 no_such_instance' },
    )
  }
  const ids = ['a', 'bad', 'c']
  const { clock, registry, start, alarms } = exporting(submit, ...ids.map(id => instance(id, 'premium', 1)))
  await start().run()
  clock.pause(HOUR_MS + 60_000)
  await start().run()
  for (const id of ids) registry.put({ kind: 'instance', id, value: null })
  assert.deepEqual(sent, [ids])
  assert.equal(alarms.length, 1)
  assert.match(alarms[0]!, /:bad::.*2030-01-01T00.*404 no_such_instance.*tried again.*See to it/)
  const triedAfter: number[] = []
  let quietMs = 0
  for (let looked = 0; looked < 24 * 4; looked++) {
    clock.pause(RETRY_MS_FIRST)
    quietMs += RETRY_MS_FIRST
    sent.length = 0
    await start().run()
    if (sent.length === 0) continue
    assert.deepEqual(sent, [['bad']])
    triedAfter.push(quietMs)
    quietMs = 0
  }
  const hours = triedAfter.map(ms => ms / HOUR_MS)
  assert.deepEqual(hours.slice(0, 7), [1, 2, 4, 8, 16, RETRY_MS_MAX / HOUR_MS, RETRY_MS_MAX / HOUR_MS])
  assert.equal(alarms.length, 1, 'once')
  isMended = true
  clock.pause(RETRY_MS_MAX)
  sent.length = 0
  await start().run()
  clock.pause(RETRY_MS_MAX)
  await start().run()
  assert.deepEqual(sent, [['bad']], 'and then it is done')
})

test('what has been refused REFUSALS_MAX times, over two months, is submitted no more, is said to be, and is kept', async () => {
  let asked = 0
  const submit: Submit = async records => {
    asked++
    return records.map((): Outcome => ({ type: 'refused', why: '404 no_such_instance' }))
  }
  const { clock, registry, start, alarms, engine } = exporting(submit, instance('bad', 'premium', 1))
  await start().run()
  clock.pause(HOUR_MS + 60_000)
  await start().run()
  registry.put({ kind: 'instance', id: 'bad', value: null })
  const from = clock.wallMs()
  const lying = (place: string) => engine.store.list({ prefix: `test/usage-export/${place}/`, limit: 10 }).pairs
  while (lying('aside').length > 0) {
    clock.pause(RETRY_MS_FIRST)
    await start().run()
  }
  assert.equal(asked, REFUSALS_MAX)
  assert.equal(Math.round((clock.wallMs() - from) / (24 * HOUR_MS)), 62)
  assert.equal(alarms.length, 2)
  assert.match(alarms[1]!, /:bad::.*2030-01-01T00.*404 no_such_instance.*no more: bill it by hand/)
  const [kept] = lying('given-up')
  assert.match(Buffer.from(kept!.value).toString(), /"resource_instance_id":"[^"]*:bad::"/)
  clock.pause(100 * 24 * HOUR_MS)
  await start().run()
  assert.equal(asked, REFUSALS_MAX)
})

test('a plan is submitted by its id in the catalogue, also what is tried again, and kept by its name', async () => {
  const submitted: string[] = []
  let outcome: Outcome = { type: 'refused', why: '404 no_such_plan' }
  const submit: Submit = async records => {
    submitted.push(...records.map(({ plan_id }) => plan_id))
    return records.map(() => outcome)
  }
  const { clock, start, alarms, engine } = exporting(submit, instance('a', 'standard', 10))
  await start().run()
  clock.pause(HOUR_MS + 60_000)
  await start().run()
  const id = planIdOf({ serviceName, plan: 'standard' })
  assert.match(alarms[0]!, new RegExp(`on the plan standard, in the catalogue ${id}\\): 404`))
  const [kept] = engine.store.list({ prefix: 'test/usage-export/aside/', limit: 10 }).pairs
  assert.match(Buffer.from(kept!.value).toString(), /"plan_id":"standard"/)
  outcome = accepted
  clock.pause(RETRY_MS_FIRST + 60_000)
  await start().run()
  assert.ok(submitted.length > 2)
  assert.deepEqual([...new Set(submitted)], [id])
})

test('a submission that is refused as a whole is halved until it is known for whose sake', async () => {
  const taken: string[] = []
  const submit: Submit = async records => {
    if (records.some(({ plan_id }) => plan_id === planIdOf({ serviceName, plan: 'odd' })))
      throw new RefusedWhole('400 plan_id')
    taken.push(...records.map(({ resource_instance_id }) => resource_instance_id))
    return records.map(() => accepted)
  }
  const many = Array.from({ length: 9 }, (_, index) => instance(`i-${index}`, index === 4 ? 'odd' : 'premium', 1))
  const { clock, start, alarms } = exporting(submit, ...many)
  await start().run()
  clock.pause(HOUR_MS + 60_000)
  await start().run()
  assert.equal(new Set(taken).size, 8)
  assert.equal(taken.length, 8)
  assert.equal(alarms.length, 1)
  assert.match(alarms[0]!, /i-4::.*plan odd, in the catalogue [0-9a-f-]{36}\): 400 plan_id/)
})

test('a submission that fails whatever it is does not hold up the others; a service that is away is left alone', async () => {
  let fails: (records: readonly UsageRecord[]) => boolean = ([record]) => record?.start === startMs
  let asked = 0
  const taken = new Set<number>()
  const submit: Submit = async records => {
    asked++
    if (fails(records)) throw new Error('500')
    for (const { start: at } of records) taken.add(at)
    return records.map(() => accepted)
  }
  const { clock, start, alarms } = exporting(submit, instance('a', 'premium', 1))
  const exporter = start()
  await exporter.run()
  clock.pause(6 * HOUR_MS)
  await exporter.run()
  assert.equal(taken.size, 4, 'all hours that are closed but the first')
  assert.equal(alarms.length, 1)
  fails = () => true
  clock.pause(20 * HOUR_MS)
  asked = 0
  await exporter.run()
  assert.equal(asked, 3)
  fails = () => false
  await exporter.run()
  await exporter.run()
  assert.equal(taken.size, 25)
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
      response.end(
        JSON.stringify({
          resources: statuses.map(status => (status === 400 ? { status, code: 'no_such_plan' } : { status })),
        }),
      )
    },
    async url => {
      const submit = submitTo({ url, resourceId: 'go-etcd-lock', token: async () => 'secret', clock: systemClock })
      const records = statuses.map((_, index) => record(index * HOUR_MS))
      assert.deepEqual(await submit(records), [
        accepted,
        accepted,
        { type: 'refused', why: '400 no_such_plan' },
        { type: 'unknown' },
      ])
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
    response => response.writeHead(401).end(),
    response => response.writeHead(404).end(),
    response => response.writeHead(429).end(),
    () => undefined,
  ]
  let next = 0
  await withMeteringService(
    (_, response) => answers[next++]!(response),
    async url => {
      const options = { url, resourceId: 'x', token: async () => 't', clock: systemClock, timeoutMs: 200 }
      for (const _ of answers)
        await assert.rejects(submitTo(options)([record(0)]), error => !(error instanceof RefusedWhole))
      assert.equal(next, answers.length)
      answers.push(response => response.writeHead(400).end('plan_id: gold'))
      const refusedWhole = (error: unknown) => error instanceof RefusedWhole && error.message === '400 plan_id: gold'
      await assert.rejects(submitTo(options)([record(0)]), refusedWhole)
    },
  )
})
