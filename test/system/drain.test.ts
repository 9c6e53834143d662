/**
 * A server that is told to stop under load: it says that it is not ready, answers what is in flight, and exits with 0. What was acknowledged
 * is there after the restart, and the library's clients go on by themselves: nobody loses a lock or a place in line when that takes less than the TTL.
 */
import { strict as assert } from 'node:assert'
import { Agent, request } from 'node:http'
import { test } from 'node:test'
import { setTimeout as sleep } from 'node:timers/promises'
import { connect, type Holdfast, type SessionEvent } from '@holdfast/client'
import { freePort, temporaryFolder } from '../harness/process.ts'
import { RawSocket } from '../harness/raw-socket.ts'
import { type Ask, asker, openSession } from '../harness/rest.ts'
import { rootKey, startServer } from '../harness/server.ts'
import { Wire } from '../harness/wire.ts'

const TTL_MS = 60_000
const WAITERS = 20
const WORKERS = 8

test('a server that is told to stop is not ready, answers everybody, and exits with 0; after the restart all go on', async t => {
  const folder = temporaryFolder('drain')
  const port = await freePort()
  let server = await startServer({ data: folder.path, port })
  const ask = asker(server.url)
  const events: SessionEvent[] = []
  const client = (): Holdfast =>
    connect({ url: server.url, apiKey: rootKey, ttlMs: TTL_MS, onEvent: event => events.push(event) })
  const [holder, waiter, busy] = [client(), client(), client()]
  t.after(async () => {
    await Promise.all([holder.close(), waiter.close(), busy.close()])
    await server.kill()
    folder.remove()
  })

  const held = await holder.acquire('held')
  const lost: unknown[] = []
  held.on('lost', error => lost.push(error))
  const waiting = waiter.acquire('held')
  while ((await holder.why('held')).waiters.length === 0) await sleep(10)
  const acknowledged = await Promise.all(
    Array.from({ length: WORKERS }, (_, index) => acquireFor(ask, `kept/${index}`)),
  )
  const waits = Array.from({ length: WAITERS }, () => waitInFlight(port, 'held'))
  while ((await holder.why('held')).waiters.length !== WAITERS + 1) await sleep(10)
  const load = { isOver: false, cycles: 0, tokens: new Set<number>() }
  const workers = Array.from({ length: WORKERS }, (_, index) => cycle(busy, `busy/${index}`, load))
  const rest = Array.from({ length: WORKERS }, (_, index) => restCycles(ask, `rest/${index}`, load))
  while (load.cycles < 200) await sleep(5)

  // Half asked before the server is told to stop, and half after.
  const probe = await RawSocket.open(port)
  probe.send('GET /readyz HTTP/1.1\r\n')
  const listener = await Wire.connect(server.url)
  const stopped = server.stop()
  while (!listener.pushes.some(({ type }) => type === 'going_away')) await sleep(1)
  probe.send('host: x\r\n\r\n')
  await probe.says('not ready: stopping')
  assert.match(probe.received, /^HTTP\/1\.1 503 /)
  for (const { status, code } of await Promise.all(waits)) assert.deepEqual([status, code], [503, 'unavailable'])
  assert.equal(await stopped, 0, server.output())

  const cyclesBefore = load.cycles
  server = await startServer({ data: folder.path, port })
  for (const { name, token } of acknowledged) assert.equal((await lockOf(ask, name)).token, token, `${name} is gone`)
  for (const { name, token } of await Promise.all(rest)) {
    // Unknown is what was asked and not answered; only that may be either way.
    if (token !== 'unknown')
      assert.equal((await lockOf(ask, name)).token ?? null, token, `${name} is not as acknowledged`)
  }
  while (load.cycles < cyclesBefore + 200) await sleep(5)
  load.isOver = true
  await Promise.all(workers)
  held.assertHeld()
  await held.validate()
  assert.deepEqual(lost, [])
  await held.release()
  const next = await waiting
  assert.ok(next.token > held.token)
  await next.release()
  const ended = events.filter(({ type }) => type === 'session_ended' || type === 'lock_lost')
  assert.deepEqual(ended, [])
  assert.ok(events.filter(({ type }) => type === 'session_resumed').length >= 3, 'somebody did not come back')
})

test('who keeps a connection after its last answer, or a stream of events, does not keep the server', async t => {
  const folder = temporaryFolder('drain')
  const server = await startServer({ data: folder.path })
  t.after(async () => {
    await server.kill()
    folder.remove()
  })
  const kept = await Promise.all(
    ['/v2/watch', '/v2/elections/a/observe', '/v1/locks/a/watch'].map(async path => {
      const raw = await RawSocket.open(server.port)
      raw.send(`GET ${path} HTTP/1.1\r\nhost: x\r\nauthorization: Bearer ${rootKey}\r\n\r\n`)
      await raw.says('retry:')
      return raw
    }),
  )
  const ask = asker(server.url)
  await ask('POST', '/v1/locks/b/acquire', {})
  const busy = await RawSocket.open(server.port)
  const body = JSON.stringify({ wait_seconds: 60 })
  busy.send(
    `POST /v1/locks/b/acquire HTTP/1.1\r\nhost: x\r\nauthorization: Bearer ${rootKey}\r\ncontent-type: application/json\r\ncontent-length: ${body.length}\r\n\r\n${body}`,
  )
  while ((await ask('GET', '/v1/locks/b')).body.waiters === 0) await sleep(10)
  const silent = await RawSocket.open(server.port)
  silent.send('GET /readyz HTTP/1.1\r\n')
  // As Ctrl-C and supervisors do, which signal the whole group, where parents pass it on.
  for (const signal of ['SIGTERM', 'SIGTERM', 'SIGINT'] as const) server.child.kill(signal)
  await busy.says('unavailable')
  await Promise.all([...kept, busy].map(raw => raw.closed()))
  // Who may still say something is waited for, up to the bound of the drain; so this is before that.
  silent.send('host: x\r\n\r\n')
  await silent.says('not ready: stopping')
  assert.equal(await server.exited, 0)
})

type Kept = { name: string; token: number }

/** A grant of a session that outlives the restart. */
async function acquireFor(ask: Ask, name: string): Promise<Kept> {
  const session = await openSession(ask, TTL_MS)
  const { body } = await ask(
    'POST',
    `/v2/locks/${encodeURIComponent(name)}/acquire`,
    {},
    { 'holdfast-session': session },
  )
  return { name, token: Number(body.token) }
}

async function lockOf(ask: Ask, name: string): Promise<Record<string, unknown>> {
  return (await ask('GET', `/v2/locks/${encodeURIComponent(name)}`)).body
}

/** A request that is surely under way when the server is told to stop. Rejects when it gets no answer. */
function waitInFlight(port: number, name: string): Promise<{ status: number; code: string }> {
  return new Promise((resolve, reject) => {
    const headers = { authorization: `Bearer ${rootKey}`, 'content-type': 'application/json' }
    const path = `/v1/locks/${name}/acquire`
    const outgoing = request(
      { port, method: 'POST', path, headers, agent: new Agent({ keepAlive: false }) },
      incoming => {
        let text = ''
        incoming.on('data', data => {
          text += data
        })
        incoming.on('end', () => {
          // An error container, or the test fails.
          const { errors } = JSON.parse(text) as { errors: { code: string }[] }
          resolve({ status: incoming.statusCode ?? 0, code: errors[0]?.code ?? '' })
        })
      },
    )
    outgoing.on('error', reject)
    outgoing.end(JSON.stringify({ wait_seconds: 60 }))
  })
}

type Load = { isOver: boolean; cycles: number; tokens: Set<number> }

/** Through the library, which goes on over the restart. */
async function cycle(holdfast: Holdfast, name: string, load: Load): Promise<void> {
  while (!load.isOver) {
    await holdfast.using(name, lock => {
      assert.ok(!load.tokens.has(lock.token), `token ${lock.token} came twice`)
      load.tokens.add(lock.token)
    })
    load.cycles++
  }
}

/** Until the first request that is not answered. What it knows then: the token it holds, null for none, or that it does not know. */
async function restCycles(
  ask: Ask,
  name: string,
  load: Load,
): Promise<{ name: string; token: number | null | 'unknown' }> {
  const path = `/v2/locks/${encodeURIComponent(name)}`
  const headers = { 'holdfast-session': await openSession(ask, TTL_MS) }
  for (;;) {
    const granted = await ask('POST', `${path}/acquire`, {}, headers).catch(() => null)
    if (granted?.status !== 200) return { name, token: isRefused(granted) ? null : 'unknown' }
    const token = Number(granted.body.token)
    assert.ok(!load.tokens.has(token), `token ${token} came twice`)
    load.tokens.add(token)
    const released = await ask('POST', `${path}/release`, { token }, headers).catch(() => null)
    if (released?.status !== 200) return { name, token: isRefused(released) ? token : 'unknown' }
    load.cycles++
  }
}

/** 503 says that the outcome is unknown, and so does silence; nothing else may happen to these requests. */
function isRefused(answer: { status: number } | null): boolean {
  if (answer !== null) assert.equal(answer.status, 503)
  return false
}
