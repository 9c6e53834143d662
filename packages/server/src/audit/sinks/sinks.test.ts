/** Each kind of sink, against a real file, socket or server. */
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
import { systemClock } from '../../clock.ts'
import type { AuditRecord } from '../record.ts'
import { FileSink } from './file.ts'
import { lineOf } from './sink.ts'
import { DATAGRAM_BYTES_MAX, messageOf, SYSLOG_MS_MAX, SyslogSink } from './syslog.ts'
import { signatureOf, WEBHOOK_MS_MAX, WebhookSink } from './webhook.ts'

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

test('what was written goes to each kind of sink; a datagram that is too small for it says that it was left out', async () => {
  const small = record('r-1', { changed: [{ kind: 'role', id: 'night', value: { title: 'Night' } }] })
  const large = record('r-2', { changed: [{ kind: 'role', id: 'night', value: { title: 'x'.repeat(20_000) } }] })
  for (const one of [small, large]) {
    assert.deepEqual(JSON.parse(lineOf(one)).changed, one.changed)
    assert.ok(messageOf(one).endsWith(lineOf(one)), 'over a stream, whole')
  }
  const socket = createSocket('udp4')
  const received: Buffer[] = []
  socket.on('message', message => received.push(message))
  socket.bind(0, '127.0.0.1')
  await once(socket, 'listening')
  const sink = new SyslogSink({ transport: 'udp', host: '127.0.0.1', port: socket.address().port }, systemClock)
  await sink.send([small, large])
  while (received.length < 2) await once(socket, 'message')
  socket.close()
  const bodies = received.map(message => JSON.parse(/\] (\{.*)$/.exec(message.toString())?.[1] ?? ''))
  assert.deepEqual(
    bodies.map(({ changed }) => changed),
    [small.changed, [{ kind: 'role', id: 'night', is_left_out: true }]],
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
