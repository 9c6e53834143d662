import assert from 'node:assert/strict'
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { existsSync } from 'node:fs'
import { chmod, mkdtemp, readdir, rm, stat, writeFile } from 'node:fs/promises'
import { createConnection, type Socket } from 'node:net'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { describe, type TestContext, test } from 'node:test'
import { fileURLToPath } from 'node:url'
import { serialize } from 'node:v8'
import { type Clock, systemClock } from '../../clock.ts'
import { conformance } from '../conformance.ts'
import {
  COMMIT_BYTES_MAX,
  COMMIT_OPERATIONS_MAX,
  type Engine,
  EngineCompacted,
  EngineFatal,
  EngineRefusal,
  KEY_BYTES_MAX,
} from '../engine.ts'
import { openLmdb } from '../lmdb/lmdb.ts'
import { openMemory } from '../memory/memory.ts'
import { ANSWER_MS_MAX, openGuest } from './guest.ts'
import { encode, FRAME_BYTES_MAX, messagesIn, VERSION } from './messages.ts'
import { CONNECTIONS_MAX, REQUESTS_MAX, removeServed, serveEngine } from './serve.ts'

conformance('served', async () => {
  const served = await serveEngine(openMemory())
  return { open: () => openGuest(served.path), dispose: () => served.close() }
})

conformance('served, of lmdb', async () => {
  const path = await mkdtemp(join(tmpdir(), 'holdfast-served.'))
  const engine = await openLmdb({ path })
  const { close, ...at } = await serveEngine(engine)
  return {
    open: () => openGuest(at.path),
    async dispose() {
      await close()
      await engine.close()
      await rm(path, { recursive: true })
    },
  }
})

async function served(t: TestContext, engine: Engine = openMemory()): Promise<string> {
  const { path, close } = await serveEngine(engine)
  t.after(close)
  return path
}

async function guestOf(t: TestContext, path: string, clock?: Clock): Promise<Engine> {
  const guest = await openGuest(path, clock)
  t.after(() => guest.close())
  return guest
}

/** An engine that does not answer commits before it is told to. */
function gated(t: TestContext) {
  const inner = openMemory()
  const gate = Promise.withResolvers<void>()
  // Before guests are closed, which wait for their answers.
  t.after(() => gate.resolve())
  const begun: string[] = []
  const waiting: (() => void)[] = []
  const engine: Engine = {
    name: 'memory',
    read: (key, options) => inner.read(key, options),
    list: options => inner.list(options),
    watch: options => inner.watch(options),
    size: () => inner.size(),
    close: () => inner.close(),
    async commit(request) {
      begun.push(request.writes.map(write => ('key' in write ? write.key : '')).join())
      for (const wake of waiting.splice(0)) wake()
      await gate.promise
      return inner.commit(request)
    },
  }
  /** Resolves when so many commits have come. */
  const reached = async (count: number) => {
    while (begun.length < count) await new Promise<void>(resolve => waiting.push(resolve))
  }
  return { engine, begun, reached, open: () => gate.resolve() }
}

const put = (key: string) => ({ checks: [], writes: [{ key, value: new Uint8Array([1]) }] })
const isUnknown = (error: unknown) =>
  error instanceof Error && !(error instanceof EngineRefusal) && !(error instanceof EngineFatal)

test('the socket lies in a folder of its own that is for its user only, and goes with it', async () => {
  const { path, close } = await serveEngine(openMemory())
  const folder = dirname(path)
  if (process.platform !== 'win32') assert.equal((await stat(folder)).mode & 0o777, 0o700)
  const guest = await openGuest(path)
  await guest.commit(put('a'))
  await close()
  await close()
  assert.equal(existsSync(folder), false)
  await assert.rejects(guest.read('a'), EngineFatal)
  await guest.close()
  await assert.rejects(openGuest(path), { code: 'ENOENT' })
})

test('a folder that others may enter is not believed', async t => {
  if (process.platform === 'win32') return t.skip('the pipes of Windows lie in no folder')
  const path = await served(t)
  for (const mode of [0o755, 0o770, 0o701]) {
    await chmod(dirname(path), mode)
    await assert.rejects(openGuest(path), /not a private folder/)
  }
})

test('where no socket can be made nothing is left behind', async t => {
  const before = process.env.TMPDIR
  const long = await mkdtemp(join(tmpdir(), `holdfast-long-${'x'.repeat(100)}.`))
  t.after(() => {
    if (before === undefined) delete process.env.TMPDIR
    else process.env.TMPDIR = before
    return rm(long, { recursive: true })
  })
  process.env.TMPDIR = long
  await assert.rejects(serveEngine(openMemory()))
  assert.deepEqual(await readdir(long), [])
})

test('errors come back as what they were', async t => {
  const refusal = new EngineRefusal('storage_full', 'no room')
  const errors = [refusal, new EngineCompacted('gone'), new EngineFatal('broken'), new TypeError('odd')]
  const inner = openMemory()
  const path = await served(t, {
    name: 'memory',
    read: key => Promise.reject(errors[Number(key)]),
    list: options => inner.list(options),
    commit: request => inner.commit(request),
    watch: options => inner.watch(options),
    size: () => inner.size(),
    close: () => inner.close(),
  })
  const guest = await guestOf(t, path)
  const got = await Promise.all(errors.map((_, index) => guest.read(String(index)).catch((error: unknown) => error)))
  assert.deepEqual(
    got.map(error => error instanceof Error && [error.constructor, error.message]),
    [
      [EngineRefusal, 'no room'],
      [EngineCompacted, 'gone'],
      [EngineFatal, 'broken'],
      [Error, 'odd'],
    ],
  )
  assert.equal(got[0] instanceof EngineRefusal && got[0].reason, 'storage_full')
  assert.equal(await guest.read('x').then(String, () => 'asked'), 'asked', 'it goes on')
})

test('a listing and a failed commit that are larger than a frame come whole', async t => {
  const guest = await guestOf(t, await served(t))
  const count = COMMIT_OPERATIONS_MAX / 2
  const keys = Array.from({ length: count }, (_, index) => `large/${String(index).padStart(3, '0')}`)
  const valueBytes = Math.ceil((2 * FRAME_BYTES_MAX) / count)
  for (const [index, key] of keys.entries()) {
    await guest.commit({ checks: [], writes: [{ key, value: new Uint8Array(valueBytes).fill(index) }] })
  }
  const { pairs, more } = await guest.list({ prefix: 'large/', limit: 100 })
  const checks = ['none', ...keys].map(key => ({ key, modRevision: key === 'none' ? 7 : 0 }))
  const result = await guest.commit({ checks, writes: [] })
  assert.ok(!result.ok)
  assert.equal(result.found[0], null)
  for (const found of [pairs, result.found.slice(1)]) {
    assert.deepEqual(
      found.map(pair => [pair?.key, pair?.value.length, pair?.value.at(-1)]),
      keys.map((key, index) => [key, valueBytes, index]),
    )
  }
  assert.equal(more, false)
})

test('the largest commit that a seal may make fits into a frame', async t => {
  const guest = await guestOf(t, await served(t))
  const wide = '\u{1f512}'.repeat(KEY_BYTES_MAX / 4 - 1)
  const count = COMMIT_OPERATIONS_MAX
  const keys = Array.from({ length: count }, (_, index) => `${wide}${String(index).padStart(4, '0')}`)
  const value = new Uint8Array(COMMIT_BYTES_MAX / count - KEY_BYTES_MAX + 37)
  const sealing = { bytes: 37 * count + 'fence'.length, operations: 1 }
  const writes = keys.map(key => ({ key, value }))
  assert.ok((await guest.commit({ checks: [{ key: 'fence', modRevision: 0 }], writes, sealing })).ok)
  // Beyond a frame nothing is sent, so it is definite.
  const large = new Uint8Array(FRAME_BYTES_MAX)
  const beyond = { checks: [], writes: [{ key: 'x', value: large }], sealing: { bytes: large.length, operations: 0 } }
  await assert.rejects(guest.commit(beyond), { name: 'EngineRefusal', reason: 'too_large' })
  assert.equal(await guest.read('x'), null)
})

describe('what no guest of ours sends ends the connection that it comes over, and no other', () => {
  const number = 1
  const commit = (request: object) => framed({ number, operation: 'commit', request })
  const check = { key: 'a', modRevision: 0 }
  const wrong: Record<string, Buffer> = {
    'a frame of no bytes': Buffer.alloc(4),
    'a frame that is too long': lengthOf(FRAME_BYTES_MAX + 1),
    'the longest length': lengthOf(2 ** 32 - 1),
    'other bytes': Buffer.concat([lengthOf(5), Buffer.from('hello')]),
    'a cut message': Buffer.concat([lengthOf(8), serialize({ number, operation: 'size' }).subarray(0, 8)]),
    'no record': framed('size'),
    'no number': framed({ operation: 'size' }),
    'a number that is none': framed({ number: 0.5, operation: 'size' }),
    'no operation': framed({ number }),
    'an operation that is not ours': framed({ number, operation: 'close' }),
    'a key that is no text': framed({ number, operation: 'read', key: 1, atLeast: 0 }),
    'a limit that is no number': framed({ number, operation: 'list', options: { prefix: '', limit: '1' } }),
    'no options': framed({ number, operation: 'list', options: null }),
    'checks that are no list': commit({ checks: { length: 1, 0: check }, writes: [] }),
    'a check without a key': commit({ checks: [{ modRevision: 0 }], writes: [] }),
    'more checks than anybody looks at': commit({ checks: new Array(2 ** 32 - 1), writes: [] }),
    'a write of text': commit({ checks: [], writes: [{ key: 'a', value: 'text' }] }),
    'a write of nothing': commit({ checks: [], writes: [{ key: 'a' }] }),
    'a range without an end': commit({ checks: [], writes: [{ from: 'a', delete: true }] }),
    'a seal that is no record': commit({ checks: [check], writes: [], sealing: 1 }),
  }
  for (const [what, bytes] of Object.entries(wrong)) {
    test(what, async t => {
      const path = await served(t)
      const guest = await guestOf(t, path)
      const socket = await rawTo(t, path)
      socket.write(bytes)
      socket.resume()
      await once(socket, 'close')
      assert.ok((await guest.commit(put('a'))).ok)
    })
  }
})

function lengthOf(length: number): Buffer {
  const bytes = Buffer.alloc(4)
  bytes.writeUInt32LE(length)
  return bytes
}

function framed(message: unknown): Buffer {
  const body = serialize(message)
  return Buffer.concat([lengthOf(body.length), body])
}

async function rawTo(t: TestContext, path: string): Promise<Socket> {
  const socket = createConnection(path)
  t.after(() => socket.destroy())
  await once(socket, 'connect')
  return socket
}

test('a frame of FRAME_BYTES_MAX is read, in whatever pieces it comes', async t => {
  const socket = await rawTo(t, await served(t))
  const padded = (bytes: number) => framed({ number: 7, operation: 'size', padding: Buffer.alloc(bytes) })
  const longest = padded(FRAME_BYTES_MAX - (padded(FRAME_BYTES_MAX / 2).length - 4 - FRAME_BYTES_MAX / 2))
  assert.equal(longest.length, 4 + FRAME_BYTES_MAX)
  const all = Buffer.concat([longest, padded(1), longest])
  const cuts = [0, 3, 4, 5, longest.length - 1, longest.length + 2, longest.length + 50, all.length]
  for (const [index, cut] of cuts.entries()) {
    socket.write(all.subarray(cut, cuts[index + 1]))
    await new Promise(resolve => setImmediate(resolve))
  }
  let answers = 0
  for await (const message of messagesIn(socket)) {
    assert.equal((message as { number: number }).number, 7)
    if (++answers === 3) break
  }
})

test('a guest of another version is told so', async t => {
  const socket = await rawTo(t, await served(t))
  socket.write(encode({ number: 1, operation: 'hello', version: VERSION + 1 }))
  for await (const message of messagesIn(socket)) {
    assert.match((message as { error: Error }).error.message, /another version/)
    break
  }
})

test('of one guest REQUESTS_MAX are in flight; further ones wait for it', async t => {
  const { engine, begun, reached, open } = gated(t)
  const guest = await guestOf(t, await served(t, engine))
  const commits = Array.from({ length: REQUESTS_MAX + 5 }, (_, index) => guest.commit(put(`k/${index}`)))
  await reached(REQUESTS_MAX)
  // Another guest is not kept waiting; and by its answer what the first has sent has long been there to be read.
  for (let turn = 0; turn < 10; turn++) await (await guestOf(t, await served(t, engine))).read('x')
  assert.equal(begun.length, REQUESTS_MAX)
  open()
  for (const { ok } of await Promise.all(commits)) assert.ok(ok)
  assert.deepEqual(
    begun,
    Array.from({ length: REQUESTS_MAX + 5 }, (_, index) => `k/${index}`),
    'in order',
  )
})

test('CONNECTIONS_MAX guests are taken; one more when another has gone', async t => {
  const path = await served(t)
  const guests: Engine[] = []
  for (let count = 0; count < CONNECTIONS_MAX; count++) guests.push(await guestOf(t, path))
  await assert.rejects(openGuest(path))
  for (const guest of guests) assert.equal(await guest.read('x'), null)
  await guests[0]!.close()
  for (;;) {
    // Its end is heard in its own time.
    const guest = await openGuest(path).catch(() => null)
    await guest?.close()
    if (guest) break
  }
})

test('a connection that breaks during a commit leaves its outcome unknown; what follows is told that the store is gone', async t => {
  const { engine, reached, open } = gated(t)
  const { path, close } = await serveEngine(engine)
  const guest = await openGuest(path)
  const commits = [guest.commit(put('a')), guest.commit(put('b'))]
  await reached(2)
  const closing = close()
  for (const commit of commits) await assert.rejects(commit, isUnknown)
  await assert.rejects(guest.commit(put('c')), EngineFatal)
  await assert.rejects(guest.size(), EngineFatal)
  await guest.close()
  // As much work as the rest of a close, several times.
  for (let turn = 0; turn < 5; turn++) await (await serveEngine(engine)).close()
  assert.ok(existsSync(dirname(path)), 'it is not through while a commit is in the engine')
  open()
  await closing
  assert.ok(await engine.read('a'), 'and it was done')
  assert.equal(await engine.read('c'), null)
})

test('a guest closes when what it has asked for is answered', async t => {
  const { engine, reached, open } = gated(t)
  const guest = await openGuest(await served(t, engine))
  const commit = guest.commit(put('a'))
  await reached(1)
  const closing = guest.close()
  await assert.rejects(guest.commit(put('b')), EngineRefusal)
  open()
  assert.ok((await commit).ok)
  await closing
})

test('who does not answer in ANSWER_MS_MAX is given up, and the outcome is unknown', async t => {
  const { engine, reached } = gated(t)
  type Timer = { delayMs: number; callback: () => void }
  const timers: Timer[] = []
  const clock: Clock = {
    ...systemClock,
    after(delayMs, callback) {
      const timer = { delayMs, callback }
      timers.push(timer)
      return () => void timers.splice(timers.indexOf(timer), 1)
    },
  }
  const guest = await guestOf(t, await served(t, engine), clock)
  assert.equal(timers.length, 0, 'nothing waits when nothing is asked')
  const commit = guest.commit(put('a'))
  await reached(1)
  assert.deepEqual(
    timers.map(({ delayMs }) => delayMs),
    [ANSWER_MS_MAX],
  )
  timers[0]!.callback()
  await assert.rejects(commit, error => isUnknown(error) && /has not answered/.test(String(error)))
  await assert.rejects(guest.read('a'), EngineFatal)
})

test('guests keep no process alive; what a process leaves that did not close is removed, and nothing else', async () => {
  const program = fileURLToPath(new URL('./serving.ts', import.meta.url))
  const flags = process.execArgv.filter(flag => flag.startsWith('--conditions'))
  const child = spawn(process.execPath, [...flags, program], { stdio: ['pipe', 'pipe', 'inherit'] })
  const [said] = await once(child.stdout, 'data')
  const path = String(said).trim()
  const guest = await openGuest(path)
  assert.ok((await guest.commit(put('a'))).ok)
  child.stdin.end()
  assert.deepEqual(await once(child, 'exit'), [0, null])
  await assert.rejects(
    (async () => {
      for (;;) await guest.read('a')
    })(),
    EngineFatal,
  )
  await guest.close()
  if (process.platform === 'win32') return
  const folder = dirname(path)
  const other = join(folder, 'other')
  await writeFile(other, '')
  await removeServed(other)
  await assert.rejects(removeServed(path), { code: 'ENOTEMPTY' })
  await rm(other)
  await removeServed(path)
  await removeServed(path)
  assert.equal(existsSync(folder), false)
})
