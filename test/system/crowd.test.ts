/**
 * One server and those who mean it no good, or mean well and are many: a crowd of idle connections, heads that trickle in, clients that never
 * read, frames that lie. Whoever misbehaves is cut off; everybody else gets an answer, and the process lives.
 */
import { strict as assert } from 'node:assert'
import { execFileSync } from 'node:child_process'
import { readFileSync } from 'node:fs'
import { after, before, test } from 'node:test'
import { setTimeout as sleep } from 'node:timers/promises'
import { connect } from '@holdfast/client'
import { FRAME_BYTES_MAX, FRAME_MESSAGES_MAX } from '@holdfast/protocol/limits'
import { temporaryFolder } from '../harness/process.ts'
import { frame, opcodes, RawSocket } from '../harness/raw-socket.ts'
import { type Ask, asker } from '../harness/rest.ts'
import { rootKey, type Server, startServer } from '../harness/server.ts'
import { addTenants } from '../harness/tenants.ts'
import { Wire } from '../harness/wire.ts'

const CROWD_MAX = 10_000
/** Files that this process and the server need beside the crowd. */
const FILES_APART = 500
/** Sockets opened at a time: less than the backlog of a listening socket. */
const OPENING = 200
const CYCLES = 50
/** Requests of which the bodies take for ever. */
const SLOW_BODIES = 100
/** Over each of the two doors. */
const DEAF = 8
/** The flood alone, its events kept for watchers to resume from and the garbage, makes 250 MiB; what the deaf were sent would be a gigabyte. */
const GROWTH_BYTES_MAX = 512 * 1_024 * 1_024

const folder = temporaryFolder('crowd')
let server: Server
let ask: Ask
/** Of two teams: one is the crowd, the other is not to notice. */
let keys = { crowd: '', bystander: '' }

before(async () => {
  server = await startServer({ data: folder.path })
  const overrides = { sessions: null, operations_per_second: null, burst_operations: null }
  const teams = Object.keys(keys).map(name => ({ name, plan: 'premium', capacity_units: 1, overrides }))
  const made = await addTenants(server.url, teams)
  keys = { crowd: made.get('crowd') ?? '', bystander: made.get('bystander') ?? '' }
  ask = asker(server.url)
})

after(async () => {
  await server.stop()
  folder.remove()
})

test('thousands of idle connections of one team are in nobody’s way; heads that trickle in are cut off, and bodies wait for nobody', async t => {
  const filesMax = Number(execFileSync('sh', ['-c', 'ulimit -n'], { encoding: 'utf8' })) || CROWD_MAX + FILES_APART
  const size = Math.min(CROWD_MAX, filesMax - FILES_APART)
  assert.ok(size >= 5_000, `this machine permits only ${filesMax} open files: raise it (ulimit -n 12000)`)
  t.diagnostic(`${size} connections`)
  const slow = await trickle()
  const slowBodies = await Promise.all(Array.from({ length: SLOW_BODIES }, trickleBody))
  const crowd: RawSocket[] = []
  try {
    for (let joined = 0; joined < size; joined += OPENING)
      crowd.push(...(await join(joined, Math.min(OPENING, size - joined))))
    const resting = await Wire.connect(server.url, { ttlMs: 60_000 })
    await cycles(keys.bystander)
    assert.equal(await ready(), 200)
    assert.equal(crowd.filter(({ isClosed }) => isClosed).length, 0, 'somebody of the crowd was cut off')
    await until(async () => (await metric('holdfast_connections')) === size / 2 + 1)
    await slow.socket.closed()
    slow.stop()
    assert.match(slow.socket.received, /^HTTP\/1\.1 408 /)
    await cycles(keys.bystander)
    await cycles(keys.crowd)
    resting.close()
  } finally {
    for (const socket of [...crowd, ...slowBodies]) socket.destroy()
  }
  await until(async () => (await metric('holdfast_connections')) === 0)
})

test('clients that never read are cut off: of events, over both doors, and of their own replies', async () => {
  const memoryBefore = residentBytes()
  const each = Array.from({ length: DEAF })
  const unread = [...(await Promise.all(each.map(deafStream))), ...(await Promise.all(each.map(deafWatch)))]
  await until(async () => (await metric('holdfast_watch_streams')) === unread.length)
  const deaf = await RawSocket.upgraded(server.port)
  deaf.socket.pause()
  const flood = await Wire.connect(server.url, { ttlMs: 60_000 })
  await flood.ask({ type: 'acquire', name: LOUD, wait_ms: 0, metadata: { text: 'x'.repeat(2_000) } })
  // What the kernel and the outbox hold must overflow, however much that is.
  while ((await metric('holdfast_watch_streams')) > 0 || (await metric('holdfast_connections')) > 1) {
    await eventsBy(flood)
    askWithoutReading(deaf)
    // A WebSocket is first asked to close, and cut some seconds later.
    await sleep(50)
  }
  // The kernel tells a socket of its end only when it reads what came before.
  for (const { socket } of [...unread, deaf]) socket.resume()
  await Promise.all([...unread, deaf].map(raw => raw.closed()))
  const grown = residentBytes() - memoryBefore
  assert.ok(grown < GROWTH_BYTES_MAX, `the server has grown by ${grown} bytes`)
  flood.close()
  await stillWell()
})

test('frames that lie, break off, or are too large close their connection and nothing else', async () => {
  const bystander = await Wire.connect(server.url, { ttlMs: 60_000 })
  const tooLarge = 1_009
  const part = 'x'.repeat(FRAME_BYTES_MAX / 2)
  const nested = (depth: number) => '['.repeat(depth) + ']'.repeat(depth)
  const cases: Record<string, { bytes: Buffer[]; codes: number[] }> = {
    'longer than a frame may be': { bytes: [frame('x'.repeat(FRAME_BYTES_MAX + 1))], codes: [tooLarge] },
    'claims ten gigabytes': { bytes: [frame('[', { claims: 10n * 1024n ** 3n })], codes: [tooLarge] },
    'claims more than can be counted': { bytes: [frame('[', { claims: 2n ** 63n - 1n })], codes: [tooLarge] },
    'in parts that add up': {
      bytes: [
        frame(part, { isFinal: false }),
        frame(part, { opcode: opcodes.continuation, isFinal: false }),
        frame(part, { opcode: opcodes.continuation }),
      ],
      codes: [tooLarge],
    },
    'not masked': { bytes: [frame('[]', { isMasked: false })], codes: [1_002] },
    'of an unknown kind': { bytes: [frame('[]', { opcode: opcodes.reserved })], codes: [1_002] },
    'a continuation of nothing': { bytes: [frame('[]', { opcode: opcodes.continuation })], codes: [1_002] },
    'not UTF-8': { bytes: [frame(Buffer.from([0xff, 0xfe]))], codes: [1_007] },
    binary: { bytes: [frame('[]', { opcode: opcodes.binary })], codes: [1_003] },
    'not JSON': { bytes: [frame('[{"type":')], codes: [1_007] },
    'not a list': { bytes: [frame('{"type":"renew","id":1}')], codes: [1_007] },
    'more messages than a frame may have': {
      bytes: [frame(`[${'{},'.repeat(FRAME_MESSAGES_MAX)}{}]`)],
      codes: [1_008],
    },
    'nested as deep as a frame allows': { bytes: [frame(nested(FRAME_BYTES_MAX / 2))], codes: [1_007, 1_008] },
    'nested where anything may stand': {
      bytes: [frame(`[{"type":"acquire","id":1,"name":"deep","metadata":{"a":${nested(100_000)}}},{}]`)],
      codes: [1_008],
    },
  }
  for (const [what, { bytes, codes }] of Object.entries(cases)) {
    const raw = await RawSocket.upgraded(server.port)
    raw.received = ''
    for (const part of bytes) raw.send(part)
    await raw.says('\x88')
    assert.ok(codes.includes(raw.closeCode ?? 0), `${what}: closed with ${raw.closeCode}`)
    raw.destroy()
  }
  for (const cut of [1, 5, 20]) {
    const raw = await RawSocket.upgraded(server.port)
    // Half a frame, and gone: what has not wholly come has not come.
    raw.send(frame('[{"type":"acquire","id":1,"name":"half"}]').subarray(0, cut))
    raw.socket.end()
    await raw.closed()
  }
  assert.equal((await ask('GET', '/v2/locks/half')).status, 404)
  assert.equal((await ask('GET', '/v2/locks/deep')).status, 404)
  assert.equal((await bystander.ask({ type: 'renew' })).error, undefined)
  bystander.close()
  await stillWell()
})

/** Half of them have asked something once and keep the connection, half are WebSockets with a session. */
function join(from: number, count: number): Promise<RawSocket[]> {
  return Promise.all(
    Array.from({ length: count }, async (_, offset) => {
      const index = from + offset
      if (index % 2 === 0) return RawSocket.upgraded(server.port, { index, key: keys.crowd })
      const raw = await RawSocket.open(server.port, index)
      raw.send(`GET /v2/whoami HTTP/1.1\r\nhost: x\r\nauthorization: Bearer ${keys.crowd}\r\n\r\n`)
      await raw.says('subject')
      return raw
    }),
  )
}

async function cycles(apiKey = rootKey): Promise<void> {
  await using holdfast = connect({ url: server.url, apiKey })
  await Promise.all(
    Array.from({ length: CYCLES }, (_, index) => holdfast.using(`cycle/${index}`, lock => lock.assertHeld())),
  )
}

async function stillWell(): Promise<void> {
  assert.equal(await ready(), 200)
  await cycles()
}

async function ready(): Promise<number> {
  return (await ask('GET', '/readyz')).status
}

/** A request whose head never ends. */
async function trickle(): Promise<{ socket: RawSocket; stop(): void }> {
  const socket = await RawSocket.open(server.port)
  const head = `GET /livez HTTP/1.1\r\nhost: x\r\nx-slow: ${'a'.repeat(10_000)}`
  let sent = 0
  const timer = setInterval(() => {
    if (!socket.isClosed) socket.send(head.slice(sent, ++sent))
  }, 50)
  timer.unref()
  return { socket, stop: () => clearInterval(timer) }
}

/** A request of the crowd whose body has begun, and is as good as never finished. */
async function trickleBody(): Promise<RawSocket> {
  const socket = await RawSocket.open(server.port)
  const head = `POST /v1/locks/slow/acquire HTTP/1.1\r\nhost: x\r\nauthorization: Bearer ${keys.crowd}\r\n`
  socket.send(`${head}content-type: application/json\r\ncontent-length: 200000\r\n\r\n{"holder":"`)
  const timer = setInterval(() => (socket.isClosed ? clearInterval(timer) : socket.send('a')), 200)
  timer.unref()
  return socket
}

async function deafStream(): Promise<RawSocket> {
  const raw = await RawSocket.open(server.port)
  raw.send(`GET /v2/watch HTTP/1.1\r\nhost: x\r\nauthorization: Bearer ${rootKey}\r\n\r\n`)
  await raw.says('retry:')
  raw.socket.pause()
  return raw
}

async function deafWatch(): Promise<RawSocket> {
  const raw = await RawSocket.upgraded(server.port)
  raw.send(frame('[{"type":"watch","id":1,"prefix":""}]'))
  await raw.says('cursor')
  raw.socket.pause()
  return raw
}

/** As long as a name may be, and twice that in JSON: many bytes of events for little work. */
const LOUD = '"'.repeat(256)
const LOUD_CYCLES = 350

async function eventsBy(wire: Wire): Promise<void> {
  const labels = { holder: '"'.repeat(128) }
  // Whatever came before has been answered.
  const settled = wire.nextId
  await Promise.all(
    Array.from({ length: LOUD_CYCLES }, async (_, index) => {
      const name = String(index).padStart(4, '0') + LOUD.slice(4)
      const reply = await wire.ask({ type: 'acquire', name, wait_ms: 0, labels, settled })
      assert.equal(reply.error, undefined)
      // The contract's shape of a reply to `acquire`.
      const { token } = (reply as unknown as { grant: { token: number } }).grant
      await wire.ask({ type: 'release', name, token })
    }),
  )
}

/** A frame full of questions by one who never looks at an answer. */
function askWithoutReading(raw: RawSocket): void {
  if (!raw.socket.writable) return
  const questions = Array.from({ length: 512 }, (_, index) => ({ type: 'show', id: index + 1, name: LOUD }))
  raw.send(frame(JSON.stringify(questions)))
}

async function metric(name: string): Promise<number> {
  const text = await (await fetch(`${server.url}/metrics`)).text()
  return Number(new RegExp(`^${name} (.*)$`, 'm').exec(text)?.[1])
}

function residentBytes(): number {
  return Number(/^VmRSS:\s+(\d+)/m.exec(readFileSync(`/proc/${server.child.pid}/status`, 'utf8'))?.[1]) * 1_024
}

async function until(isTrue: () => Promise<boolean>): Promise<void> {
  while (!(await isTrue())) await sleep(20)
}
