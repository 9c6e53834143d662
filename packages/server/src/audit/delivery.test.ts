import assert from 'node:assert/strict'
import { test } from 'node:test'
import pino from 'pino'
import { Registry } from 'prom-client'
import { decodeRecord } from '../engine/commit.ts'
import { openRegistry } from '../registry/registry.ts'
import { registryKeysUnder } from '../registry/store.ts'
import { restart } from '../shards/testing.ts'
import { auditTelemetry } from '../telemetry/audit.ts'
import { Delivery, RETRY_MS_MAX, SENDING_CHANGED_BYTES_MAX, SENDING_RECORDS_MAX } from './delivery.ts'
import type { AuditRecord } from './record.ts'
import type { Sink } from './sinks/sink.ts'
import { type AuditWorld, allRecords, auditKeys, cycles, keys, logOf, settled, startAudited } from './testing.ts'

class TestSink implements Sink {
  readonly taken: AuditRecord[] = []
  readonly sizes: number[] = []
  isAway = false
  /** It takes what it is sent, and does not say so. */
  isForgetful = false
  async send(records: readonly AuditRecord[]): Promise<void> {
    if (this.isAway) throw new Error('away')
    this.taken.push(...records)
    this.sizes.push(records.length)
    if (this.isForgetful) throw new Error('the answer was lost')
  }
  close(): void {}
}

function deliver(world: AuditWorld, sink: Sink, owned: () => number[] = () => [0]) {
  const told = { sent: 0, failed: 0, missed: 0, resting: 0 }
  const metrics = new Registry()
  const telemetry = auditTelemetry(metrics, pino({ enabled: false }), act => act())
  const awaySeconds = async () => {
    const { values } = await metrics.getSingleMetric('holdfast_audit_sink_away_seconds')!.get()
    return values[0]?.value
  }
  const delivery = new Delivery({
    engine: world.engine,
    clock: world.clock,
    keys,
    auditKeys,
    registryKeys: registryKeysUnder('test'),
    cluster: world.server.shards.meta.clusterId.slice(0, 8),
    name: 'test',
    id: 'test',
    sink,
    owned,
    telemetry: {
      sent: sent => {
        told.sent += sent.records
        telemetry.sent(sent)
      },
      failed: failure => {
        told.failed++
        telemetry.failed(failure)
      },
      missed: ({ batches }) => {
        told.missed += batches
      },
      well: telemetry.well,
      resting: () => {
        told.resting++
      },
    },
  })
  delivery.start()
  return { delivery, told, awaySeconds }
}

const idsOf = (records: readonly AuditRecord[]) => records.map(({ id }) => id)

test('a new sink gets what happens from then on, in order, at most SENDING_RECORDS_MAX at once', async () => {
  const world = await startAudited()
  await cycles(world.server, 5, 'before')
  const before = idsOf(await allRecords(world))
  const sink = new TestSink()
  const { delivery } = deliver(world, sink)
  await world.clock.pass(1_000)
  assert.deepEqual(sink.taken, [])
  await cycles(world.server, 300)
  await world.clock.pass(3_000)
  assert.deepEqual(idsOf(sink.taken), idsOf(await allRecords(world)).slice(before.length))
  assert.ok(
    sink.sizes.every(size => size <= SENDING_RECORDS_MAX) && sink.sizes.some(size => size === SENDING_RECORDS_MAX),
  )
  delivery.stop()
})

test('a sink that was away gets what it has missed, from the archive too; it is tried again at least every RETRY_MS_MAX', async () => {
  const world = await startAudited()
  const sink = new TestSink()
  const { delivery, told } = deliver(world, sink)
  await world.clock.pass(1_000)
  const before = (await allRecords(world)).length
  sink.isAway = true
  await cycles(world.server, 150)
  await world.clock.pass(120_000)
  assert.ok(told.failed > 3)
  assert.ok(delivery.awayMs >= 100_000)
  sink.isAway = false
  await world.clock.pass(RETRY_MS_MAX + 1_000)
  assert.equal(delivery.awayMs, 0)
  assert.deepEqual(idsOf(sink.taken), idsOf(await allRecords(world)).slice(before))
  assert.equal(told.missed, 0)
  delivery.stop()
})

test('what a sink did not acknowledge is sent again, and nothing is left out, over a crash too', async () => {
  const world = await startAudited()
  const sink = new TestSink()
  const first = deliver(world, sink)
  await world.clock.pass(1_000)
  const before = (await allRecords(world)).length
  await cycles(world.server, 20)
  sink.isForgetful = true
  await world.clock.pass(2_000)
  sink.isForgetful = false
  first.delivery.stop()
  const again = { ...world, ...(await restart(world)) }
  await cycles(again.server, 20)
  const second = deliver(again, sink)
  await again.clock.pass(2_000)
  const all = idsOf(await allRecords(again)).slice(before)
  assert.deepEqual([...new Set(idsOf(sink.taken))], all)
  assert.ok(sink.taken.length > all.length, 'some came twice')
  second.delivery.stop()
})

test('what retention has dropped before the sink took it is counted, once', async () => {
  const world = await startAudited({ retention: { ageMs: 86_400_000, bytesMax: 10_000 } })
  const sink = new TestSink()
  const { delivery, told } = deliver(world, sink)
  await world.clock.pass(1_000)
  sink.isAway = true
  for (let part = 0; part < 10; part++) {
    await cycles(world.server, 40)
    await world.clock.pass(500)
  }
  await world.clock.pass(4 * RETRY_MS_MAX)
  assert.equal(told.missed, 0, 'it is not known yet: nothing has been taken')
  sink.isAway = false
  await world.clock.pass(60_000)
  assert.ok(told.missed > 0 && told.missed < logOf(world).at(-1)!.seq, `${told.missed}`)
  assert.equal(sink.taken.at(-1)?.id, (await allRecords(world)).at(-1)?.id)
  delivery.stop()
})

test('only the owner of a shard sends its records', async () => {
  const world = await startAudited()
  const sink = new TestSink()
  const { delivery } = deliver(world, sink, () => [])
  await cycles(world.server, 5)
  await world.clock.pass(3_000)
  assert.deepEqual(sink.taken, [])
  delivery.stop()
})

test('of two that send the same, one of which is held up at its cursor, neither puts it back', async () => {
  const world = await startAudited()
  const sink = new TestSink()
  const [late, quick] = [deliver(world, sink), deliver(world, sink)]
  await world.clock.pass(1_000)
  const before = (await allRecords(world)).length
  const place = auditKeys.cursor('test', 0)
  const cursor = () => decodeRecord(world.engine.store.get(place)!.value) as { seq: number; n: number }
  let isHeld = false
  world.engine.hold(({ writes }) => {
    const isFirst = !isHeld && writes.some(write => 'value' in write && write.key === place)
    isHeld ||= isFirst
    return isFirst
  })
  await cycles(world.server, 5)
  await world.clock.pass(1_000)
  await cycles(world.server, 5)
  await world.clock.pass(1_000)
  const moved = cursor()
  assert.ok(isHeld && moved.seq > 0)
  const taken = sink.taken.length
  world.engine.letGo()
  await world.clock.settle()
  assert.deepEqual(cursor(), moved)
  await world.clock.pass(5_000)
  assert.deepEqual(cursor(), moved)
  assert.equal(sink.taken.length, taken, 'nothing comes once more for it')
  assert.deepEqual([...new Set(idsOf(sink.taken))], idsOf(await allRecords(world)).slice(before))
  for (const { delivery } of [late, quick]) delivery.stop()
})

test('a sink is not away for a server whose shard has gone to another, nor when it has come back with nothing to send', async () => {
  const world = await startAudited()
  const owner = { name: 'a' }
  const [own, others] = [new TestSink(), new TestSink()]
  const a = deliver(world, own, () => (owner.name === 'a' ? [0] : []))
  const b = deliver(world, others, () => (owner.name === 'b' ? [0] : []))
  await world.clock.pass(1_000)
  own.isAway = true
  await cycles(world.server, 3)
  await world.clock.pass(10_000)
  assert.ok(a.delivery.awayMs > 5_000)
  assert.ok((await a.awaySeconds())! > 1)
  owner.name = 'b'
  await world.clock.pass(RETRY_MS_MAX + 1_000)
  assert.ok(others.taken.length > 0)
  assert.equal(a.delivery.awayMs, 0)
  assert.equal(await a.awaySeconds(), 0, 'whoever looks at the metrics is told so too')
  owner.name = 'a'
  await world.clock.pass(RETRY_MS_MAX + 1_000)
  assert.equal(a.delivery.awayMs, 0)
  // It is still away, as far as anything is to be sent.
  await cycles(world.server, 3)
  await world.clock.pass(10_000)
  assert.ok(a.delivery.awayMs > 5_000)
  a.delivery.stop()
  b.delivery.stop()
})

const changed = {
  by: 'root',
  from: '',
  action: 'plan.change',
  instance: null,
  target: 'plan/p',
  outcome: 'success',
  status: 200,
  reason: '',
  trace: '',
} as const

test('what cannot be read in one place holds up no other; it comes when it can be read, and a sink that is away is noticed meanwhile', async () => {
  const world = await startAudited()
  const { engine, clock } = world
  const nobody = () => undefined
  const registry = await openRegistry({ engine, clock, root: 'test', server: 's', alarm: nobody, fatal: nobody })
  const change = () =>
    settled(
      clock,
      registry.change(changed, () => []),
    )
  await change()
  const sink = new TestSink()
  const { delivery, told } = deliver(world, sink)
  await clock.pass(1_000)
  const before = new Set(idsOf(await allRecords(world)))
  // The shard is looked at before the trail of administration.
  await cycles(world.server, 1)
  const { seq, bytes } = logOf(world).at(-1)!
  const spoil = (value: Uint8Array) => engine.store.commit({ checks: [], writes: [{ key: keys.batch(0, seq), value }] })
  spoil(Buffer.from('no batch'))
  await change()
  await clock.pass(1_000)
  assert.deepEqual(
    sink.taken.map(({ action }) => action),
    ['plan.change'],
  )
  await clock.pass(120_000)
  assert.ok(told.resting > 3 && told.resting < 12, `${told.resting}`)
  assert.deepEqual([told.failed, delivery.awayMs], [0, 0], 'the sink is not to blame')
  sink.isAway = true
  await change()
  await clock.pass(120_000)
  assert.ok(delivery.awayMs > 100_000, 'strict mode looks at this')
  assert.ok(told.failed > 3 && told.failed < 12, `${told.failed}`)
  sink.isAway = false
  await clock.pass(RETRY_MS_MAX + 1_000)
  assert.deepEqual([sink.taken.length, delivery.awayMs], [2, 0])
  spoil(bytes)
  await clock.pass(RETRY_MS_MAX + 1_000)
  const all = idsOf(await allRecords(world)).filter(id => !before.has(id))
  assert.deepEqual(new Set(idsOf(sink.taken)), new Set([...all, ...idsOf(sink.taken.slice(0, 2))]))
  assert.ok(all.length > 0)
  delivery.stop()
})

test('of many large things that were written at most so much is sent at once, and all of it in the end', async () => {
  const world = await startAudited()
  const { engine, clock } = world
  const nobody = () => undefined
  const registry = await openRegistry({ engine, clock, root: 'test', server: 's', alarm: nobody, fatal: nobody })
  const sink = new TestSink()
  const { delivery } = deliver(world, sink)
  await clock.pass(1_000)
  const title = 'x'.repeat(60_000)
  const count = Math.ceil((3 * SENDING_CHANGED_BYTES_MAX) / title.length)
  for (let id = 0; id < count; id++) {
    const value = { id: `r-${id}`, instance: null, title, actions: [] }
    await settled(
      clock,
      registry.change(changed, () => [{ kind: 'role', id: `.r-${id}`, value }]),
    )
  }
  await clock.pass(5_000)
  assert.equal(sink.taken.length, count)
  assert.ok(Math.max(...sink.sizes) <= Math.ceil(SENDING_CHANGED_BYTES_MAX / title.length), `${sink.sizes}`)
  delivery.stop()
})

test('a sink that did not take what cannot be read any more stays away, until that is read or another’s', async () => {
  const world = await startAudited()
  const sink = new TestSink()
  let mine = [0]
  const { delivery } = deliver(world, sink, () => mine)
  await world.clock.pass(1_000)
  sink.isAway = true
  await cycles(world.server, 1)
  await world.clock.pass(5_000)
  const { seq } = logOf(world).at(-1)!
  const value = Buffer.from('no batch')
  world.engine.store.commit({ checks: [], writes: [{ key: keys.batch(0, seq), value }] })
  await world.clock.pass(60_000)
  assert.ok(delivery.awayMs > 60_000)
  mine = []
  await world.clock.pass(RETRY_MS_MAX)
  assert.equal(delivery.awayMs, 0)
  delivery.stop()
})
