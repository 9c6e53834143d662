import assert from 'node:assert/strict'
import { createHmac } from 'node:crypto'
import { createSocket } from 'node:dgram'
import { once } from 'node:events'
import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { createServer as createHttp, type IncomingMessage } from 'node:http'
import { type AddressInfo, createServer, type Socket } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { test } from 'node:test'
import pino from 'pino'
import { Registry } from 'prom-client'
import { systemClock } from '../clock.ts'
import { decodeRecord } from '../engine/commit.ts'
import { openRegistry } from '../registry/registry.ts'
import { registryKeysUnder } from '../registry/store.ts'
import { restart } from '../shards/testing.ts'
import { auditTelemetry } from '../telemetry/audit.ts'
import { Delivery, RETRY_MS_MAX, SENDING_RECORDS_MAX } from './delivery.ts'
import type { AuditRecord } from './record.ts'
import { FileSink } from './sinks/file.ts'
import { lineOf, type Sink } from './sinks/sink.ts'
import { DATAGRAM_BYTES_MAX, messageOf, SYSLOG_MS_MAX, SyslogSink } from './sinks/syslog.ts'
import { signatureOf, WEBHOOK_MS_MAX, WebhookSink } from './sinks/webhook.ts'
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

const record = (id: string, more: Partial<AuditRecord> = {}): AuditRecord => ({
  id,
  at: '2030-01-01T00:00:00.000Z',
  action: 'lock.acquire',
  outcome: 'success',
  subject: 'key:"a]\\',
  target: 'lock/ä',
  link: 'ff',
  ...more,
})

test('a file has a line for each record, is begun anew by size, and a torn line of before stands alone', async () => {
  const folder = mkdtempSync(join(tmpdir(), 'holdfast-sink-'))
  try {
    const path = join(folder, 'deep', 'audit.jsonl')
    const first = new FileSink({ path, bytesMax: 400, files: 2 })
    for (let id = 0; id < 12; id++) await first.send([record(`r-${id}`)])
    first.close()
    const files = readdirSync(join(folder, 'deep')).sort()
    assert.deepEqual(files, ['audit.jsonl', 'audit.jsonl.1', 'audit.jsonl.2'])
    const ids = files.reverse().flatMap(file =>
      readFileSync(join(folder, 'deep', file), 'utf8')
        .trim()
        .split('\n')
        .map(line => JSON.parse(line).id),
    )
    assert.deepEqual(
      ids,
      ids.map((_, place) => `r-${12 - ids.length + place}`),
    )
    writeFileSync(path, '{"torn')
    const second = new FileSink({ path, bytesMax: 10_000, files: 2 })
    await second.send([record('whole')])
    second.close()
    assert.deepEqual(readFileSync(path, 'utf8').split('\n').slice(0, 2), ['{"torn', lineOf(record('whole'))])
    rmSync(path)
    const third = new FileSink({ path, bytesMax: 10_000, files: 2 })
    await third.send([record('one')])
    rmSync(path)
    await third.send([record('two')])
    third.close()
    assert.equal(readFileSync(path, 'utf8'), `${lineOf(record('two'))}\n`, 'not into a file that is gone')
    const broken = new FileSink({ path: join(path, 'no-folder'), bytesMax: 1_000, files: 1 })
    await assert.rejects(broken.send([record('x')]))
  } finally {
    rmSync(folder, { recursive: true })
  }
})

test('a syslog message is RFC 5424: priority, version, time, names, escaped data, the record', () => {
  assert.equal(
    messageOf(record('r-1'), 'host'),
    `<110>1 2030-01-01T00:00:00.000Z host holdfast ${process.pid} lock.acquire [audit@32473 id="r-1" outcome="success" subject="key:\\"a\\]\\\\" target="lock/ä"] ${lineOf(record('r-1'))}`,
  )
  assert.match(messageOf(record('r-1', { outcome: 'denied' })), /^<108>1 /)
})

test('syslog over a stream counts its octets, and connects again when the other side has gone', async () => {
  let received = Buffer.alloc(0)
  const sockets: Socket[] = []
  const server = createServer(socket => {
    sockets.push(socket)
    socket.on('data', (bytes: Buffer) => {
      received = Buffer.concat([received, bytes])
    })
    socket.on('error', () => undefined)
  })
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  const { port } = server.address() as AddressInfo
  const sink = new SyslogSink({ transport: 'tcp', host: '127.0.0.1', port }, systemClock)
  await sink.send([record('r-1'), record('r-2')])
  while (framesOf(received).length < 2) await once(sockets[0]!, 'data')
  assert.deepEqual(
    framesOf(received).map(frame => /id="(.*?)"/.exec(frame)?.[1]),
    ['r-1', 'r-2'],
  )
  sockets[0]!.destroy()
  await once(sockets[0]!, 'close')
  for (let isTaken = false; !isTaken; )
    isTaken = await sink.send([record('r-3')]).then(
      () => sockets.length > 1,
      () => false,
    )
  sink.close()
  server.close()
  for (const socket of sockets) socket.destroy()
  const none = new SyslogSink({ transport: 'tcp', host: '127.0.0.1', port }, systemClock)
  await assert.rejects(none.send([record('r-4')]))
  assert.ok(SYSLOG_MS_MAX > 0)
})

test('a connection to syslog that lasts keeps nothing of what has been sent', async t => {
  const server = createServer(socket => socket.resume()).listen(0, '127.0.0.1')
  t.after(() => server.close())
  await once(server, 'listening')
  const { port } = server.address() as AddressInfo
  const warned: string[] = []
  const onWarning = ({ name }: Error) => warned.push(name)
  process.on('warning', onWarning)
  t.after(() => process.off('warning', onWarning))
  const sink = new SyslogSink({ transport: 'tcp', host: '127.0.0.1', port }, systemClock)
  // More than may wait for the end of a socket before Node finds that strange.
  for (let id = 0; id < 30; id++) await sink.send([record(`r-${id}`)])
  await new Promise(setImmediate)
  sink.close()
  assert.deepEqual(warned, [])
})

function framesOf(bytes: Buffer): string[] {
  const frames: string[] = []
  for (let rest = bytes; rest.length > 0; ) {
    const space = rest.indexOf(' ')
    const length = Number(rest.toString('utf8', 0, space))
    if (space < 0 || rest.length < space + 1 + length) break
    frames.push(rest.toString('utf8', space + 1, space + 1 + length))
    rest = rest.subarray(space + 1 + length)
  }
  return frames
}

test('syslog over UDP is a datagram for each record, of at most DATAGRAM_BYTES_MAX', async () => {
  const socket = createSocket('udp4')
  const received: Buffer[] = []
  socket.on('message', message => received.push(message))
  socket.bind(0, '127.0.0.1')
  await once(socket, 'listening')
  const sink = new SyslogSink({ transport: 'udp', host: '127.0.0.1', port: socket.address().port }, systemClock)
  await sink.send([record('r-1'), record('r-2', { reason: 'x'.repeat(20_000) })])
  while (received.length < 2) await once(socket, 'message')
  socket.close()
  assert.deepEqual(
    received.map(message => message.length <= DATAGRAM_BYTES_MAX),
    [true, true],
  )
})

test('a webhook is signed, has the same key when the same records come again, and takes with 2xx only', async () => {
  const requests: { headers: IncomingMessage['headers']; body: string }[] = []
  let status = 204
  const server = createHttp((request, response) => {
    let body = ''
    request.on('data', (text: Buffer) => {
      body += text.toString()
    })
    request.on('end', () => {
      requests.push({ headers: request.headers, body })
      response.writeHead(status, status === 302 ? { location: '/elsewhere' } : {}).end()
    })
  })
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}/hook`
  const sink = new WebhookSink({ url, secret: 'a secret', clock: systemClock })
  await sink.send([record('r-1'), record('r-2')])
  status = 500
  await assert.rejects(sink.send([record('r-1'), record('r-2')]), /500/)
  status = 302
  await assert.rejects(sink.send([record('r-1'), record('r-2')]))
  server.close()
  const [first, second] = requests
  assert.deepEqual(
    JSON.parse(first!.body).records.map(({ id }: AuditRecord) => id),
    ['r-1', 'r-2'],
  )
  assert.equal(first!.headers['idempotency-key'], second!.headers['idempotency-key'])
  const [, seconds, signature] = /^t=(\d+),v1=([0-9a-f]{64})$/.exec(String(first!.headers['holdfast-signature'])) ?? []
  assert.equal(signature, createHmac('sha256', 'a secret').update(`${seconds}.${first!.body}`).digest('hex'))
  assert.equal(signatureOf('a secret', first!.body, Number(seconds)), first!.headers['holdfast-signature'])
  assert.equal(requests.length, 3)
  assert.ok(WEBHOOK_MS_MAX > 0)
})
