/**
 * Input that is wrong in one place, for every operation of both versions and every message of the WebSocket. Whatever comes is answered with a
 * declared success or with an error of the table that the operation declares; the process lives, and no lock exists that nobody named.
 *
 * `TEST_FUZZ` multiplies the number of requests, `TEST_SEED` repeats a run.
 */
import { strict as assert } from 'node:assert'
import { Agent } from 'node:http'
import { after, before, beforeEach, test } from 'node:test'
import { requests } from '@holdfast/protocol/frame-schemas'
import fc from 'fast-check'
import { fitting, type Json, type Meaningful } from '../harness/bad-input.ts'
import { type Answered, allOperations, bytesOf, checkerOf, requestOf, type Sent, send } from '../harness/fuzzing.ts'
import { assertWireError, Line } from '../harness/line.ts'
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

const agent = new Agent({ keepAlive: true })

function ours(sent: Sent): Promise<Answered> {
  rememberPath(sent.path)
  if (sent.body) rememberJson(sent.body)
  return send(sent, { port: server.port, agent })
}

for (const operation of allOperations) {
  const check = checkerOf(operation)
  const headers = () => ({ Authorization: `Bearer ${rootKey}`, 'Holdfast-Session': session })
  test(`${operation.version} ${operation.id}: whatever is asked, the answer is one of those declared`, async () => {
    const property = fc.asyncProperty(requestOf(operation, { meaningful, headers }), async sent => {
      const answered = await ours(sent)
      counts[check(answered)]++
      if (operation.id === 'closeSession' && answered.status === 204) await begin()
    })
    await fc.assert(property, { seed: SEED, numRuns: RUNS_OF_OPERATION })
    assert.equal((await ask('GET', '/readyz')).status, 200)
  })
}

// ------------------------------------------------------------------------------------------------ the WebSocket

for (const [type, schema] of Object.entries(requests)) {
  test(`WebSocket ${type}: whatever is sent is answered under its id, or the connection is closed with a reason`, async () => {
    const message = fitting(schema as Json, { ...meaningful, id: fc.nat(), settled: fc.constant(1) })
    let line = await Line.open(server.port, rootKey)
    const property = fc.asyncProperty(bytesOf(message), async bytes => {
      if (line.isClosed) line = await Line.open(server.port, rootKey)
      rememberJson(bytes)
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
    const line = await Line.connect(server.port, {})
    const answer = await line.raw(`[${bytes}]`)
    if (answer?.type === 'reply') assertWireError(answer)
    else if (answer) assert.equal(answer.type, 'welcome')
    line.close()
  })
  await fc.assert(property, { seed: SEED, numRuns: RUNS_OF_MESSAGE })
})

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
