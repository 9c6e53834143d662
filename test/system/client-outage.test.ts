/** The library through outages of the real server: kill -9 and a restart, a server that leaves in good order, one that does not come back. */
import { strict as assert } from 'node:assert'
import { after, before, beforeEach, test } from 'node:test'
import { setTimeout as sleep } from 'node:timers/promises'
import { type ConnectOptions, connect, type Holdfast, LockLostError } from '@holdfast/client'
import { freePort, temporaryFolder } from '../harness/process.ts'
import { rootKey, type Server, startServer } from '../harness/server.ts'

const folder = temporaryFolder('outage')
const open: Holdfast[] = []
let port = 0
let server: Server

before(async () => {
  port = await freePort()
})

beforeEach(async () => {
  server = await startServer({ data: folder.path, port })
})

after(async () => {
  await Promise.all(open.map(holdfast => holdfast.close()))
  await server.kill()
  folder.remove()
})

function client(options: ConnectOptions = {}): Holdfast {
  const holdfast = connect({ url: `http://127.0.0.1:${port}`, apiKey: rootKey, ...options })
  open.push(holdfast)
  return holdfast
}

async function queueOf(name: string, length: number): Promise<void> {
  while ((await client().why(name)).waiters.length !== length) await sleep(20)
}

test('kill -9 and a restart: who held holds, who waited waits in the same place, nothing acts twice', async () => {
  const holder = client({ ttlMs: 30_000 })
  const lock = await holder.acquire('kept')
  const order: number[] = []
  const waits: Promise<void>[] = []
  for (const number of [1, 2, 3]) {
    waits.push(client({ ttlMs: 30_000 }).using('kept', () => void order.push(number)))
    await queueOf('kept', number)
  }
  await server.kill()
  server = await startServer({ data: folder.path, port })
  await lock.validate()
  lock.assertHeld()
  await queueOf('kept', 3)
  await lock.release()
  await Promise.all(waits)
  assert.deepEqual(order, [1, 2, 3])
  await server.stop()
})

test('cycles that are under way when the server is killed all end, and no token comes twice', async () => {
  const holdfast = client({ ttlMs: 30_000 })
  const tokens: number[] = []
  let isOver = false
  const cycles = Array.from({ length: 20 }, async (_, index) => {
    while (!isOver) {
      const lock = await holdfast.acquire(`cycle/${index % 5}`)
      tokens.push(lock.token)
      await lock.release()
    }
  })
  for (let round = 0; round < 2; round++) {
    const before = tokens.length
    while (tokens.length < before + 200) await sleep(5)
    await server.kill()
    server = await startServer({ data: folder.path, port })
  }
  isOver = true
  await Promise.all(cycles)
  assert.equal(new Set(tokens).size, tokens.length)
  const held = []
  for await (const lock of holdfast.rest.list({ prefix: 'cycle/' })) held.push(lock)
  assert.deepEqual(held, [])
  await server.stop()
})

test('a long wait does not make the server remember all that came after it, and survives a restart all the same', async () => {
  const [holder, busy] = [client({ ttlMs: 30_000 }), client({ ttlMs: 30_000 })]
  const lock = await holder.acquire('long')
  const waiting = busy.acquire('long')
  await queueOf('long', 1)
  await Promise.all(
    Array.from({ length: 50 }, async (_, index) => {
      // More requests than a server remembers of one session.
      for (let round = 0; round < 110; round++) await busy.using(`short/${index}`, () => {})
    }),
  )
  await server.kill()
  server = await startServer({ data: folder.path, port })
  await queueOf('long', 1)
  await lock.release()
  assert.ok((await waiting).isHeld)
  await server.stop()
})

test('a server that leaves in good order takes nothing with it', async () => {
  const holdfast = client({ ttlMs: 30_000 })
  const lock = await holdfast.acquire('drained')
  const watched: string[] = []
  const events = holdfast.watch({ name: 'watched' })
  await (await holdfast.acquire('watched')).release()
  for (const _ of [1, 2]) watched.push((await events.next()).value.type)
  assert.equal(await server.stop(), 0)
  server = await startServer({ data: folder.path, port })
  await lock.validate()
  await (await holdfast.acquire('watched')).release()
  for (const _ of [1, 2]) watched.push((await events.next()).value.type)
  assert.deepEqual(watched, ['granted', 'released', 'granted', 'released'])
  await events.return?.()
  await lock.release()
  await server.stop()
})

test('a server that does not come back: the holder stops by itself, and says why', async () => {
  const lock = await client({ ttlMs: 2_000 }).acquire('alone')
  const heard: string[] = []
  lock.on('atRisk', () => heard.push('atRisk'))
  const lost = Promise.withResolvers<LockLostError>()
  lock.on('lost', lost.resolve)
  const { signal } = lock
  await server.kill()
  const error = await lost.promise
  assert.deepEqual(heard, ['atRisk'])
  assert.equal(error.reason, 'connection')
  assert.ok(signal.aborted)
  assert.throws(() => lock.assertHeld(), LockLostError)
})
