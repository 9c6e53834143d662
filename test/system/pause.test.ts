/**
 * The server's process is stopped for twice the TTL and goes on. While it slept nobody could renew, and what they sent lies in its sockets: so
 * nobody who tried may be expired, and who did not try gets no more than its TTL of time in which it could have.
 *
 * The library cannot know that the server sleeps. It stops believing at its deadline, as it must, and says so; then it gives back what it no
 * longer believes in. That is a release, not an expiry, and nobody may hold before it has stopped believing.
 */
import { strict as assert } from 'node:assert'
import { after, before, test } from 'node:test'
import { setTimeout as sleep } from 'node:timers/promises'
import { connect, type Lock, LockLostError, type SessionEvent } from '@holdfast/client'
import { temporaryFolder } from '../harness/process.ts'
import { type Ask, asker, openSession } from '../harness/rest.ts'
import { rootKey, type Server, startServer } from '../harness/server.ts'
import { Wire } from '../harness/wire.ts'

const TTL_MS = 2_000
const PAUSE_MS = 2 * TTL_MS
const RENEW_MS = TTL_MS / 5
/** So short that the owner's own deadline (1.5 s) has not passed when it wakes: then only the cap on its ticks keeps it from counting the pause. */
const SHORT = { ttlMs: 900, pauseMs: 1_000 }
/** Of the boot clock, which the library reads beside the monotonic one: what it says of itself may be that much too little. */
const GRAIN_MS = 20

const folder = temporaryFolder('pause')
let server: Server
let ask: Ask
const ended: (() => void)[] = []

before(async () => {
  server = await startServer({ data: folder.path })
  ask = asker(server.url)
})

after(async () => {
  for (const end of ended) end()
  server.child.kill('SIGCONT')
  await server.stop()
  folder.remove()
})

test('after a pause of twice the TTL whoever tried to renew still holds; who did not is expired, in its turn', async () => {
  const wires = await Promise.all(Array.from({ length: 8 }, (_, index) => renewing(`wire/${index}`)))
  const alone = await renewingAlone('alone')
  const watcher = await Wire.connect(server.url)
  await watcher.ask({ type: 'watch', prefix: '' })
  const idle = await holdIdly('idle')
  // What it has used up before the pause, it has used up.
  await sleep(TTL_MS / 2)
  server.child.kill('SIGSTOP')
  // It lies in the socket like the renewals, and is answered with them.
  const atOnce = lockOf('idle')
  await sleep(PAUSE_MS)
  server.child.kill('SIGCONT')
  assert.equal((await atOnce).token, idle, 'a session is charged only for time in which it could have renewed')
  const later = await holdIdly('later')
  for (const wire of wires) await wire.renewed()
  await alone.renewed()
  for (const { name, token } of [...wires, alone]) assert.equal((await lockOf(name)).token, token, `${name} is lost`)

  const expired = () =>
    watcher.pushes.flatMap(push => (push.type === 'event' && push.event.type === 'expired' ? [push.event] : []))
  while (expired().length < 2) await sleep(20)
  assert.deepEqual(
    expired().map(({ lock, token }) => [lock, token]),
    [
      ['idle', idle],
      ['later', later],
    ],
    'who came after the pause is expired after who came before it, and nobody else is',
  )
  watcher.close()
  await Promise.all([...wires, alone].map(each => each.stop()))
})

test('a pause that is over before the owner has lost its own trust is not charged either', async () => {
  const wires = await Promise.all(Array.from({ length: 5 }, (_, index) => renewing(`short/${index}`, SHORT.ttlMs)))
  const idle = await holdIdly('short/idle', SHORT.ttlMs)
  server.child.kill('SIGSTOP')
  await sleep(SHORT.pauseMs)
  server.child.kill('SIGCONT')
  for (const wire of wires) await wire.renewed()
  // The renewals were read before anything could expire. This one has only the cap to thank, and most of its TTL before it.
  assert.equal((await lockOf('short/idle')).token, idle, 'the pause was charged')
  for (const { name, token } of wires) assert.equal((await lockOf(name)).token, token, `${name} is lost`)
  await Promise.all(wires.map(each => each.stop()))
})

test('the library stops believing by its deadline, says so, and no two believe at once', async () => {
  const events: SessionEvent[] = []
  const holder = connect({ url: server.url, apiKey: rootKey, ttlMs: TTL_MS, onEvent: event => events.push(event) })
  const next = connect({ url: server.url, apiKey: rootKey, ttlMs: TTL_MS, onEvent: event => events.push(event) })
  ended.push(() => void Promise.all([holder.close(), next.close()]))
  const locks = await Promise.all(['lib/0', 'lib/1', 'lib/2'].map(name => holder.acquire(name)))
  const lost = locks.map(lock => nextLoss(lock))
  const waits = locks.map(async lock => {
    const mine = await next.acquire(lock.name)
    assert.equal(lock.isHeld, false, `two believed that they held ${lock.name}`)
    assert.ok(mine.token > lock.token)
    return mine
  })
  for (const lock of locks) {
    while ((await next.why(lock.name)).waiters.length === 0) await sleep(10)
  }
  server.child.kill('SIGSTOP')
  // From here on nothing that the server says can extend a belief: what was under way has arrived.
  await sleep(RENEW_MS)
  for (const lock of locks) await outlive(lock)
  for (const error of await Promise.all(lost)) assert.ok(error instanceof LockLostError)
  await sleep(PAUSE_MS - TTL_MS)
  server.child.kill('SIGCONT')
  for (const mine of await Promise.all(waits)) await mine.release()
  for (const { name } of locks) {
    const types = await typesOf(name)
    assert.ok(!types.includes('expired'), `${name}: ${types}`)
  }
  assert.ok(!events.some(({ type }) => type === 'session_ended'), 'both sessions have lived through it')
  await Promise.all([holder.close(), next.close()])
})

test('belief may end before the first renewal after the pause, but the grant of a session that comes back is as it was', async () => {
  const wire = await Wire.connect(server.url, { ttlMs: TTL_MS })
  const token = await acquire(wire, 'resumed')
  server.child.kill('SIGSTOP')
  wire.close()
  // A new connection: taken by the kernel, answered by the server when it wakes.
  const resumed = Wire.connect(server.url, { session: wire.session })
  await sleep(PAUSE_MS)
  server.child.kill('SIGCONT')
  const { welcome } = await resumed
  assert.deepEqual(
    welcome.grants?.map(grant => grant.token),
    [token],
  )
  ;(await resumed).close()
})

type Renewing = { name: string; token: number; renewed(): Promise<void>; stop(): Promise<void> }

/** A session over the raw WebSocket that asks for a renewal every so often, whether the last one was answered or not. */
async function renewing(name: string, ttlMs = TTL_MS): Promise<Renewing> {
  const wire = await Wire.connect(server.url, { ttlMs })
  const token = await acquire(wire, name)
  const replies: Promise<void>[] = []
  const renew = () => {
    const reply = wire.ask({ type: 'renew' }).then(({ error }) => assert.equal(error, undefined, `${name}: refused`))
    replies.push(reply)
    return reply
  }
  const timer = setInterval(renew, ttlMs / 5)
  // A test that has failed does not stop it.
  timer.unref()
  return {
    name,
    token,
    renewed: async () => void (await Promise.all([renew(), ...replies])),
    async stop() {
      clearInterval(timer)
      await Promise.all(replies)
      wire.close()
    },
  }
}

/** The same for a grant of `/v1`, which stands alone: one renewal after the other. */
async function renewingAlone(name: string): Promise<Renewing> {
  const { body } = await ask('POST', `/v1/locks/${name}/acquire`, { ttl_seconds: TTL_MS / 1_000 })
  const ids = { lock_id: body.lock_id }
  const renew = async () => {
    const { status } = await ask('POST', `/v1/locks/${name}/renew`, ids)
    assert.equal(status, 200, `${name}: refused`)
  }
  let isOver = false
  ended.push(() => {
    isOver = true
  })
  const loop = (async () => {
    while (!isOver) {
      await renew()
      await sleep(RENEW_MS)
    }
  })()
  return {
    name,
    token: Number(body.token),
    renewed: renew,
    async stop() {
      isOver = true
      await loop
    },
  }
}

async function acquire(wire: Wire, name: string): Promise<number> {
  const reply = await wire.ask({ type: 'acquire', name, wait_ms: 0 })
  // The contract's shape of a reply to `acquire`.
  return (reply as unknown as { grant: { token: number } }).grant.token
}

/** Held by a session that nobody renews. */
async function holdIdly(name: string, ttlMs = TTL_MS): Promise<number> {
  const session = await openSession(ask, ttlMs)
  const { body } = await ask(
    'POST',
    `/v2/locks/${encodeURIComponent(name)}/acquire`,
    {},
    { 'holdfast-session': session },
  )
  return Number(body.token)
}

async function lockOf(name: string): Promise<Record<string, unknown>> {
  return (await ask('GET', `/v2/locks/${encodeURIComponent(name)}`)).body
}

async function typesOf(name: string): Promise<string[]> {
  const { body } = await ask('GET', `/v2/locks/${encodeURIComponent(name)}/history`)
  // The contract's shape.
  return (body.events as { type: string }[]).map(({ type }) => type)
}

function nextLoss(lock: Lock): Promise<unknown> {
  return new Promise(resolve => lock.signal.addEventListener('abort', () => resolve(lock.signal.reason)))
}

/** Waits as long as the lock says that it is valid; by then it must say that it is not. */
async function outlive(lock: Lock): Promise<void> {
  const validForMs = lock.validForMs()
  const endMs = performance.now() + validForMs + GRAIN_MS
  while (performance.now() < endMs) await sleep(Math.ceil(endMs - performance.now()))
  assert.equal(lock.isHeld, false, `${lock.name} is believed in beyond its deadline`)
  assert.throws(() => lock.assertHeld(), LockLostError)
  assert.ok(lock.signal.aborted)
}
