/**
 * Input that is wrong in one place, for every operation of both versions and every message of the WebSocket. Whatever comes is answered with a
 * declared success or with an error of the table that the operation declares; the process lives, and no lock exists that nobody named.
 *
 * `TEST_FUZZ` multiplies the number of requests, `TEST_SEED` repeats a run.
 */
import { strict as assert } from 'node:assert'
import { Agent, request } from 'node:http'
import { after, before, beforeEach, test } from 'node:test'
import { type ErrorBody, type ErrorCode, errors } from '@holdfast/protocol/errors'
import { requests } from '@holdfast/protocol/frame-schemas'
import { commonErrors, type OperationFields } from '@holdfast/protocol/operation'
import { v1 } from '@holdfast/protocol/v1'
import { v2 } from '@holdfast/protocol/v2'
import fc from 'fast-check'
import { Compile } from 'typebox/compile'
import { fitting, type Json, type Meaningful, RawJson, spoiling, stringify } from '../harness/bad-input.ts'
import { temporaryFolder } from '../harness/process.ts'
import { type Ask, asker, openSession } from '../harness/rest.ts'
import { rootKey, type Server, startServer } from '../harness/server.ts'

const FACTOR = Number(process.env.TEST_FUZZ ?? 1)
const SEED = Number(process.env.TEST_SEED ?? Date.now() % 2 ** 31)
const RUNS_OF_OPERATION = 60 * FACTOR
const RUNS_OF_MESSAGE = 60 * FACTOR

/** What a request may name; whatever else the service knows of afterwards, nobody has named. */
const names = [
  'fuzz',
  'fuzz/a',
  'fuzz%2fb',
  'fuzz .?#&',
  'fuzz-ß-🔒',
  '..',
  '.',
  'f'.repeat(256),
  '__proto__',
  'constructor',
]
const folder = temporaryFolder('fuzz')
const agent = new Agent({ keepAlive: true })
let server: Server
let ask: Ask
/** `<id>.<secret>`, renewed by being used. */
let session = ''
let token = 1
const counts = { done: 0, refused: 0 }

before(async () => {
  process.stderr.write(`fuzz: seed ${SEED}\n`)
  server = await startServer({ data: folder.path })
  ask = asker(server.url)
})

beforeEach(begin)

after(async () => {
  agent.destroy()
  await server.stop()
  folder.remove()
})

/** So that some requests are about a session and a grant that exist, and nothing that came before is in their way. */
async function begin(): Promise<void> {
  for (const prefix of [...names, '']) await ask('DELETE', `/v2/freezes?prefix=${encodeURIComponent(prefix)}`)
  await ask('POST', '/v2/locks/fuzz/force-release', { reason: 'begin', now: true })
  await ask('DELETE', '/v2/locks/fuzz')
  session = await openSession(ask, 86_400_000)
  // Waits that were cut off live as long as their sessions, and each gets its turn.
  for (;;) {
    const { status, body } = await ask('POST', '/v2/locks/fuzz/acquire', {}, { 'holdfast-session': session })
    token = Number(body.token)
    if (status === 200) return
    assert.equal(status, 409, JSON.stringify(body))
    await ask('POST', '/v2/locks/fuzz/force-release', { reason: 'begin', now: true })
  }
}

/** Every text that a request has brought, wherever it stood: what the service may know of afterwards. */
const named = new Set<string>(names)

function remember(value: unknown): void {
  if (typeof value === 'string') named.add(value)
  else if (value !== null && typeof value === 'object') Object.values(value).forEach(remember)
}

function rememberJson(bytes: Buffer): void {
  try {
    remember(JSON.parse(bytes.toString()))
  } catch {
    // Nothing can come of what is not JSON.
  }
}

function rememberPath(path: string): void {
  const [segments = '', query = ''] = path.split('?')
  for (const value of new URLSearchParams(query).values()) named.add(value)
  for (const part of segments.split('/')) {
    try {
      named.add(decodeURIComponent(part))
    } catch {
      // Nor of this.
    }
  }
}

/** The session and token are read when a value is made, for they change. */
const meaningful: Meaningful = {
  name: fc.constantFrom(...names),
  token: fc.nat().map(number => (number % 2 === 0 ? token : number)),
  prefix: fc.constantFrom(...names, ''),
  session_id: fc.nat().map(number => (number % 4 === 0 ? 'none' : idOf(session))),
  to_session: fc.nat().map(number => (number % 2 === 0 ? 'none' : idOf(session))),
  lock_id: fc.nat().map(number => (number % 2 === 0 ? 'none.secret' : session)),
  wait_ms: fc.constantFrom(0, 1),
  wait_seconds: fc.constant(0),
  until: fc.constantFrom('2000-01-01T00:00:00Z', '2126-01-01T00:00:00Z'),
}

function idOf(handle: string): string {
  return handle.split('.')[0] ?? ''
}

// ------------------------------------------------------------------------------------------------ REST

type Sent = { method: string; path: string; headers: Record<string, string>; body: Buffer | null }

const badPaths = ['%00', '%ED%A0%80', '%FF', '%', '%zz', 'x'.repeat(257), 'x'.repeat(9_000), '', '%0A', '%C2%85']
const badHeaders: [string, string][] = [
  ['Holdfast-Session', 'none.secret'],
  ['Holdfast-Session', '.'],
  ['Holdfast-Session', 'x'.repeat(5_000)],
  ['Authorization', 'Bearer wrong'],
  ['Authorization', 'Basic Og=='],
  ['Authorization', ''],
  ['API-Version', '1999-01-01'],
  ['API-Version', 'yesterday'],
  ['IBM-API-Version', '2999-12-31'],
  ['If-Match', '"x"'],
  ['If-Match', '*'],
  ['If-None-Match', '*'],
  ['Idempotency-Key', 'k'],
  ['Idempotency-Key', 'x'.repeat(300)],
  ['Idempotency-Key', '\u00ff'],
  ['Last-Event-ID', 'nonsense'],
  ['Last-Event-ID', 'x'.repeat(300)],
  ['Content-Type', 'text/plain'],
  ['Content-Type', 'application/json; charset=latin1'],
  ['Content-Type', 'multipart/form-data'],
  ['Content-Encoding', 'gzip'],
  ['X-Request-ID', 'x'.repeat(500)],
  ['X-Request-ID', '\u00e4'],
  ['traceparent', '00-nonsense'],
  ['Holdfast-Instance', '../other'],
  ['Accept', 'application/problem+json'],
  ['X-Large', 'x'.repeat(17_000)],
]

/** Bytes that are no JSON at all. */
const badBodies = [
  Buffer.from(''),
  Buffer.from('{'),
  Buffer.from([0]),
  Buffer.from([0x22, 0xed, 0xa0, 0x80, 0x22]),
  Buffer.from('\ufeff{}'),
  Buffer.alloc(256 * 1024 + 1, ' '),
  Buffer.from('{}{}'),
]

function requestOf(operation: OperationFields): fc.Arbitrary<Sent> {
  const params = fitting(operation.params as Json, meaningful)
  const query = fitting(operation.query as Json, meaningful).chain(value => rarely(value, spoiling(value)))
  const body: fc.Arbitrary<Buffer | null> = operation.body
    ? fc.oneof(
        { weight: 8, arbitrary: bytesOf(fitting(operation.body as Json, meaningful)) },
        { weight: 1, arbitrary: fc.constantFrom(...badBodies) },
        { weight: 1, arbitrary: fc.constant(null) },
      )
    : fc.oneof({ weight: 9, arbitrary: fc.constant(null) }, { weight: 1, arbitrary: fc.constantFrom(...badBodies) })
  const header = rarely<[string, string] | null>(null, fc.constantFrom(...badHeaders))
  const badPath = rarely<string | null>(null, fc.constantFrom(...badPaths))
  return fc.record({ params, query, body, header, badPath }).map(made => {
    const path = pathWith(operation.path, made.params as Record<string, string>, made.badPath)
    const headers: Record<string, string> = {
      Authorization: `Bearer ${rootKey}`,
      'Holdfast-Session': session,
      'Content-Type': operation.method === 'PATCH' ? 'application/merge-patch+json' : 'application/json',
    }
    if (made.body === null) delete headers['Content-Type']
    if (made.header) headers[made.header[0]] = made.header[1]
    return { method: operation.method, path: path + queryOf(made.query), headers, body: made.body }
  })
}

function rarely<Value>(usual: Value, other: fc.Arbitrary<Value>): fc.Arbitrary<Value> {
  return fc.oneof({ weight: 4, arbitrary: fc.constant(usual) }, { weight: 1, arbitrary: other })
}

function bytesOf(value: fc.Arbitrary<unknown>): fc.Arbitrary<Buffer> {
  return value
    .chain(whole => fc.oneof({ weight: 1, arbitrary: fc.constant(whole) }, { weight: 2, arbitrary: spoiling(whole) }))
    .map(made => Buffer.from(stringify(made)))
}

function pathWith(template: string, params: Record<string, string>, bad: string | null): string {
  return template.replaceAll(/\{(\w+)\}/g, (_, name: string) => bad ?? encodeURIComponent(params[name] ?? ''))
}

function queryOf(query: unknown): string {
  if (query === null || typeof query !== 'object' || query instanceof RawJson) return '?a&a&=&%'
  const pairs = Object.entries(query).map(([name, value]) => {
    const text = typeof value === 'string' ? value : stringify(value)
    // A lone surrogate has no encoding; its bytes have.
    const encode = (part: string) => (part.isWellFormed() ? encodeURIComponent(part.slice(0, 2_000)) : '%ED%A0%80')
    return `${encode(name)}=${encode(text)}`
  })
  return pairs.length === 0 ? '' : `?${pairs.join('&')}`
}

type Answered = { status: number; headers: NodeJS.Dict<string | string[]>; text: string }

/** The body of a stream is not waited for. */
function send(sent: Sent): Promise<Answered> {
  rememberPath(sent.path)
  if (sent.body) rememberJson(sent.body)
  return new Promise((resolve, reject) => {
    const outgoing = request(
      { port: server.port, host: '127.0.0.1', method: sent.method, path: sent.path, agent, headers: headersOf(sent) },
      incoming => {
        const { statusCode: status = 0, headers } = incoming
        if (headers['content-type']?.startsWith('text/event-stream')) {
          outgoing.destroy()
          return resolve({ status, headers, text: '' })
        }
        let text = ''
        incoming.setEncoding('utf8')
        incoming.on('data', (data: string) => {
          text += data
        })
        incoming.on('end', () => resolve({ status, headers, text }))
      },
    )
    // A body that is larger than allowed is answered before it has been sent; then the socket is closed.
    outgoing.on('error', error =>
      reject(new Error(`${sent.method} ${sent.path.slice(0, 200)} was not answered`, { cause: error })),
    )
    outgoing.end(sent.body ?? undefined)
  })
}

function headersOf({ headers, body }: Sent): Record<string, string> {
  return body === null ? headers : { ...headers, 'Content-Length': String(body.length) }
}

for (const operation of [...Object.values<OperationFields>(v1), ...Object.values<OperationFields>(v2)]) {
  const checks = new Map(
    Object.entries(operation.replies).map(([status, { body, isStream }]) => [
      Number(status),
      body === null || isStream ? null : Compile(body),
    ]),
  )
  test(`${operation.version} ${operation.id}: whatever is asked, the answer is one of those declared`, async () => {
    const property = fc.asyncProperty(requestOf(operation), async sent => {
      const { status, headers, text } = await send(sent)
      const check = checks.get(status)
      counts[check === undefined ? 'refused' : 'done']++
      if (check !== undefined) {
        if (check) assert.ok(check.Check(JSON.parse(text)), `not the declared body: ${text}`)
      } else assertError({ status, headers, text }, [...operation.errors, ...commonErrors])
      if (operation.id === 'closeSession' && status === 204) await begin()
    })
    await fc.assert(property, { seed: SEED, numRuns: RUNS_OF_OPERATION })
    assert.equal((await ask('GET', '/readyz')).status, 200)
  })
}

function assertError({ status, headers, text }: Answered, declared: readonly ErrorCode[]): void {
  assert.match(String(headers['content-type']), /^application\/(problem\+)?json/, `${status} ${text}`)
  const { trace, errors: list } = JSON.parse(text) as ErrorBody // it is checked here
  const [error] = list
  assert.ok(error && Object.hasOwn(errors, error.code), text)
  // A head that takes too long or cannot be parsed is answered before there is a request.
  assert.ok(errors[error.code].status === status, `${error.code} with status ${status}`)
  assert.ok(declared.includes(error.code), `\`${error.code}\` is not declared: ${text}`)
  assert.notEqual(error.code, 'internal', text)
  assert.equal(typeof error.message, 'string')
  assert.equal(trace, headers['x-request-id'])
  assert.ok(trace.length > 0)
}

// ------------------------------------------------------------------------------------------------ the WebSocket

/** What a connection may be closed with: gone (close), not text, malformed, policy, too large. */
const closeCodes = [1_000, 1_003, 1_007, 1_008, 1_009]

for (const [type, schema] of Object.entries(requests)) {
  test(`WebSocket ${type}: whatever is sent is answered under its id, or the connection is closed with a reason`, async () => {
    const message = fitting(schema as Json, { ...meaningful, id: fc.nat(), settled: fc.constant(1) })
    let line = await Line.open()
    const property = fc.asyncProperty(bytesOf(message), async bytes => {
      if (line.isClosed) line = await Line.open()
      await line.ask(bytes)
    })
    await fc.assert(property, { seed: SEED, numRuns: RUNS_OF_MESSAGE })
    line.close()
    assert.equal((await ask('GET', '/readyz')).status, 200)
  })
}

test('WebSocket hello: whatever is sent first is welcomed, or refused and closed', async () => {
  const greeting = fitting(
    {
      type: 'object',
      properties: { type: { const: 'hello' }, session: {}, ttl_ms: {}, labels: { type: 'object' }, authorization: {} },
    },
    {
      session: fc.constantFrom('none.secret', '.', 'x'),
      ttl_ms: fc.constantFrom(500, 86_400_000, 499, -1),
      authorization: fc.constantFrom(`Bearer ${rootKey}`, 'Bearer wrong', ''),
    },
  )
  const property = fc.asyncProperty(bytesOf(greeting), async bytes => {
    const line = await Line.connect({})
    const answer = await line.raw(`[${bytes}]`)
    if (answer?.type === 'reply') assertWireError(answer)
    else if (answer) assert.equal(answer.type, 'welcome')
    line.close()
  })
  await fc.assert(property, { seed: SEED, numRuns: RUNS_OF_MESSAGE })
})

type Message = { type: string; id?: number; error?: { code: string; message: string } }

function assertWireError({ error }: Message): void {
  assert.ok(error && Object.hasOwn(errors, error.code), JSON.stringify(error))
  assert.notEqual(error.code, 'internal')
  assert.equal(typeof error.message, 'string')
}

/** A WebSocket that takes text as it is. */
class Line {
  isClosed = false
  private readonly socket: WebSocket
  private readonly waiting = new Set<(message: Message | null) => void>()
  private nextId = 1

  private constructor(socket: WebSocket) {
    this.socket = socket
    socket.onmessage = event => {
      // The service's own messages; what they say is checked where it matters.
      for (const message of JSON.parse(String(event.data)) as Message[]) this.heard(message)
    }
    socket.onclose = event => {
      this.isClosed = true
      this.closedWith = event.code
      this.heard(null)
    }
  }

  closedWith = 0

  static async connect(headers: Record<string, string>): Promise<Line> {
    // Node's own takes headers, which its types, made for browsers, do not know.
    const socket = new WebSocket(`ws://127.0.0.1:${server.port}/v2/connect`, { headers } as unknown as string[])
    await new Promise((resolve, reject) => {
      socket.onopen = resolve
      socket.onerror = () => reject(new Error('the connection failed'))
    })
    return new Line(socket)
  }

  static async open(): Promise<Line> {
    const line = await Line.connect({ authorization: `Bearer ${rootKey}` })
    assert.equal((await line.raw('[{"type":"hello"}]'))?.type, 'welcome')
    return line
  }

  /** The message, and after it a question that is sure to be answered: what came before that is the message's answer. */
  async ask(bytes: Buffer): Promise<void> {
    const end = 2 ** 52 + this.nextId++
    rememberJson(bytes)
    this.socket.send(`[${bytes}]`)
    if (!this.isClosed) this.socket.send(`[{"type":"renew","id":${end}}]`)
    for (;;) {
      const message = await this.next()
      if (message === null) return assert.ok(closeCodes.includes(this.closedWith), `closed with ${this.closedWith}`)
      if (message.type === 'reply' && message.error !== undefined && message.id !== end) assertWireError(message)
      if (message.id === end && message.type === 'reply') return
    }
  }

  /** What is answered first; null: the connection was closed. */
  async raw(text: string): Promise<Message | null> {
    this.socket.send(text)
    return this.next()
  }

  close(): void {
    this.socket.close()
  }

  private readonly unread: (Message | null)[] = []

  private next(): Promise<Message | null> {
    const first = this.unread.shift()
    if (first !== undefined) return Promise.resolve(first)
    if (this.isClosed) return Promise.resolve(null)
    return new Promise(resolve => this.waiting.add(resolve))
  }

  private heard(message: Message | null): void {
    const [first] = this.waiting
    if (!first) return void this.unread.push(message)
    this.waiting.delete(first)
    first(message)
  }
}

// ------------------------------------------------------------------------------------------------ afterwards

test('after all of it the service works, and knows no lock that was not named', async () => {
  const { body: frozen } = await ask('GET', '/v2/freezes')
  // The contract's shapes, here and below.
  for (const { prefix } of frozen.freezes as { prefix: string }[]) {
    assert.ok(named.has(prefix), `a freeze of ${JSON.stringify(prefix)}`)
    await ask('DELETE', `/v2/freezes?prefix=${encodeURIComponent(prefix)}`)
  }
  const { body } = await ask('GET', '/v2/locks?limit=1000')
  const found = (body.locks as { name: string }[]).map(({ name }) => name)
  assert.deepEqual(
    found.filter(name => !named.has(name)),
    [],
  )
  assert.equal(Object.hasOwn(Object.prototype, 'polluted'), false)
  const fresh = await openSession(ask, 10_000)
  const granted = await ask('POST', '/v2/locks/afterwards/acquire', {}, { 'holdfast-session': fresh })
  assert.equal(granted.status, 200)
  const released = await ask(
    'POST',
    '/v2/locks/afterwards/release',
    { token: granted.body.token },
    { 'holdfast-session': fresh },
  )
  assert.equal(released.status, 200)
  const least = (counts.done + counts.refused) / 10
  assert.ok(counts.done > least && counts.refused > least, `too much of one kind: ${JSON.stringify(counts)}`)
  process.stderr.write(`fuzz: ${JSON.stringify(counts)}\n`)
  assert.ok(!server.output().includes('internal error'), server.output())
})
