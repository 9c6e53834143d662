/** Two servers on real sockets, of the same cluster or not. */
import assert from 'node:assert/strict'
import { createHmac } from 'node:crypto'
import { once } from 'node:events'
import { createServer } from 'node:http'
import { type AddressInfo, connect, createServer as createNetServer, type Socket } from 'node:net'
import { type TestContext, test } from 'node:test'
import { HoldfastError } from '@holdfast/protocol/errors'
import { WebSocket } from 'ws'
import { systemClock } from '../clock.ts'
import type { Command } from '../locks/model.ts'
import { systemRandom } from '../random.ts'
import { NotTaken } from '../shards/callers.ts'
import type { Answer, Asking, SessionPush, WatchSink } from '../shards/port.ts'
import type { Peer } from './peer.ts'
import { GREETING_BYTES_MAX, PEER_PATH, PeerSockets } from './sockets.ts'

const clusterKey = 'a'.repeat(64)
const show: Command = { type: 'show', by: 'test', lock: 'a' }

type World = {
  address: string
  server: string
  sockets: PeerSockets
  asked: Asking[]
  watched: WatchSink[]
  pushes: ((push: SessionPush) => void)[]
  told: number
  detached: number
  close(): Promise<void>
}

async function started(server: string, key = clusterKey): Promise<World> {
  const http = createServer()
  const world = {
    server,
    asked: [] as Asking[],
    watched: [] as WatchSink[],
    pushes: [] as ((push: SessionPush) => void)[],
    told: 0,
    detached: 0,
  }
  const local: Peer = {
    submit: (_instance, _command, asking) => {
      world.asked.push(asking)
      return { detach: () => world.detached++ }
    },
    watch: (_instance, _filter, sink) => {
      world.watched.push(sink)
      return { stop: () => world.detached++ }
    },
    history: async (_instance, { lock }) => ({ events: [], more: lock === 'more' }),
    listen: (_instance, _session, push) => {
      world.pushes.push(push)
      return { stop: () => world.detached++ }
    },
  }
  const here = { server, meta: { clusterId: 'c', clusterKey: key }, local, told: () => world.told++ }
  const sockets = new PeerSockets({ here, clock: systemClock, random: systemRandom, authorities: () => null })
  http.on('upgrade', (request, socket, head) => sockets.accept(request, socket, head))
  http.listen(0, '127.0.0.1')
  await once(http, 'listening')
  // Listening on a host and port, the address is no text.
  const { port } = http.address() as AddressInfo
  const close = async () => {
    sockets.close()
    http.closeAllConnections()
    http.close()
  }
  return Object.assign(world, { address: `http://127.0.0.1:${port}`, sockets, close })
}

function heard() {
  const outcome = Promise.withResolvers<Answer | HoldfastError>()
  const asking: Asking = { answer: outcome.resolve, fail: outcome.resolve }
  return { asking, outcome: outcome.promise }
}

async function until(isTrue: () => boolean): Promise<void> {
  while (!isTrue()) await new Promise(resolve => systemClock.after(5, () => resolve(null)))
}

test('commands, places, watches, histories, pushes and hints go over one connection and come back', async t => {
  const [one, other] = [await started('one'), await started('other')]
  t.after(async () => Promise.all([one.close(), other.close()]))
  const link = one.sockets.to(other)
  assert.equal(one.sockets.to(other), link)
  const { asking, outcome } = heard()
  const places: number[] = []
  link.submit('main', show, { ...asking, queued: ({ position }) => places.push(position) })
  await until(() => other.asked.length === 1)
  other.asked[0]!.queued?.({ ticket: 1, session: 's', position: 3 })
  other.asked[0]!.answer({ ok: false, code: 'stale_token' })
  assert.deepEqual(await outcome, { ok: false, code: 'stale_token' })
  assert.deepEqual(places, [3])
  const events: string[] = []
  const { stop } = link.watch(
    'main',
    { prefix: 'a', after: 'x' },
    {
      began: cursor => events.push(cursor),
      event: event => events.push(event.id) > 0,
      reset: cursor => events.push(cursor),
      ended: () => events.push('ended'),
      refused: () => events.push('refused'),
    },
  )
  await until(() => other.watched.length === 1)
  other.watched[0]!.began('c-1')
  other.watched[0]!.event({ id: 'c-2', at: '', type: 'granted', lock: 'a' })
  await until(() => events.length === 2)
  stop()
  await until(() => other.detached === 1)
  assert.deepEqual(events, ['c-1', 'c-2'])
  assert.deepEqual(await link.history('main', { lock: 'more', limit: 1 }), { events: [], more: true })
  const pushes: SessionPush[] = []
  link.listen('main', 's', push => pushes.push(push))
  await until(() => other.pushes.length === 1)
  other.pushes[0]!({ type: 'received', lock: 'a', token: 1, changes: 2 })
  await until(() => pushes.length === 1)
  one.sockets.tell()
  await until(() => other.told === 1)
})

test('errors keep their code, and what was surely not taken is told apart', async t => {
  const [one, other] = [await started('one'), await started('other')]
  t.after(async () => Promise.all([one.close(), other.close()]))
  const link = one.sockets.to(other)
  for (const error of [new NotTaken(), new HoldfastError('quota_exceeded', 'no', { details: { limit: 'x' } })]) {
    const { asking, outcome } = heard()
    const before = other.asked.length
    link.submit('main', show, asking)
    await until(() => other.asked.length > before)
    other.asked.at(-1)!.fail(error)
    const failed = await outcome
    assert.ok(failed instanceof HoldfastError)
    assert.deepEqual([failed.constructor, failed.code, failed.details], [error.constructor, error.code, error.details])
  }
})

test('what was sent over a connection that broke is unknown; the other side lets go of what was begun', async t => {
  const [one, other] = [await started('one'), await started('other')]
  t.after(async () => Promise.all([one.close(), other.close()]))
  const link = one.sockets.to(other)
  const { asking, outcome } = heard()
  link.submit('main', show, asking)
  await until(() => other.asked.length === 1)
  link.cut()
  const failed = await outcome
  assert.ok(failed instanceof HoldfastError && !(failed instanceof NotTaken) && failed.code === 'unavailable')
  await until(() => other.detached === 1)
  const late = heard()
  link.submit('main', show, late.asking)
  assert.ok((await late.outcome) instanceof NotTaken, 'a link that was cut takes nothing')
})

/** About 3.2 s of it. */
const TRICKLED_BYTES = 2 * 1024 * 1024
const TRICKLE_BYTES = 64 * 1024
const TRICKLE_MS = 100

/** A server whose words come through at once, then a little at a time, then not at all. */
async function behindSlowNetwork(t: TestContext) {
  const server = await started('slow')
  let waiting = Buffer.alloc(0)
  let bytesAtOnce = Number.POSITIVE_INFINITY
  let isOver = false
  const proxy = createNetServer(client => {
    const behind = connect(Number(new URL(server.address).port), '127.0.0.1')
    const passOn = () => {
      client.write(waiting.subarray(0, bytesAtOnce))
      waiting = waiting.subarray(bytesAtOnce)
    }
    const again = () => {
      if (isOver) return
      passOn()
      systemClock.after(TRICKLE_MS, again)
    }
    again()
    for (const socket of [client, behind]) socket.on('error', () => undefined)
    client.pipe(behind)
    behind.on('data', bytes => {
      waiting = Buffer.concat([waiting, bytes])
      if (bytesAtOnce > waiting.length) passOn()
    })
    client.on('close', () => behind.destroy())
    t.after(() => client.destroy())
  }).listen(0, '127.0.0.1')
  await once(proxy, 'listening')
  t.after(async () => {
    isOver = true
    proxy.close()
    await server.close()
  })
  // Listening on a host and port, the address is no text.
  const address = `http://127.0.0.1:${(proxy.address() as AddressInfo).port}`
  return { server: 'slow', address, asked: server.asked, passes: (bytes: number) => (bytesAtOnce = bytes) }
}

test('a frame that takes long to arrive does not end its connection; silence does', async t => {
  const one = await started('one')
  t.after(() => one.close())
  // What the other end is sent goes through this, a little at a time, and then no more.
  const slow = await behindSlowNetwork(t)
  const { asking, outcome } = heard()
  one.sockets.to(slow).submit('main', show, asking)
  await until(() => slow.asked.length === 1)
  slow.passes(TRICKLE_BYTES)
  const sentMs = systemClock.hrtimeMs()
  slow.asked[0]!.answer({ ok: false, code: 'stale_token', padding: 'x'.repeat(TRICKLED_BYTES) } as unknown as Answer)
  const answer = await outcome
  assert.ok('ok' in answer, String(answer))
  assert.ok(systemClock.hrtimeMs() - sentMs > 3_000, 'longer than two pings')
  const last = heard()
  one.sockets.to(slow).submit('main', show, last.asking)
  slow.passes(0)
  assert.equal(((await last.outcome) as HoldfastError).code, 'unavailable')
})

test('listeners are set up again when the connection has broken', async t => {
  const [one, other] = [await started('one'), await started('other')]
  t.after(async () => Promise.all([one.close(), other.close()]))
  one.sockets.to(other).listen('main', 's', () => undefined)
  await until(() => other.pushes.length === 1)
  other.sockets.close()
  await until(() => other.pushes.length === 2)
})

test('a server of another cluster, another start of a server, or nobody at all gets nothing', async t => {
  const one = await started('one')
  const foreign = await started('foreign', 'b'.repeat(64))
  const later = await started('later start')
  t.after(async () => Promise.all([one.close(), foreign.close(), later.close()]))
  const gone = { server: 'gone', address: 'http://127.0.0.1:1' }
  for (const target of [foreign, { ...later, server: 'earlier start' }, gone]) {
    const { asking, outcome } = heard()
    one.sockets.to(target).submit('main', show, asking)
    assert.ok((await outcome) instanceof NotTaken)
  }
  assert.deepEqual([foreign.asked.length, later.asked.length], [0, 0])
})

test('whoever does not prove to know the key of the cluster is cut off, and asks nothing', async t => {
  const one = await started('one')
  t.after(() => one.close())
  const attempts = [
    () => JSON.stringify([{ type: 'ask', id: 1, instance: 'main', command: show }]),
    () => JSON.stringify({ server: 'x', nonce: 'y', proof: 'z'.repeat(64) }),
    // The acceptor's own words.
    (greeting: string) => greeting,
    () => 'not JSON',
    () => 'null',
  ]
  for (const attempt of attempts) {
    const socket = new WebSocket(`${one.address.replace('http', 'ws')}${PEER_PATH}`)
    const [greeting] = (await once(socket, 'message')) as [Buffer]
    socket.send(attempt(String(greeting)))
    // Cut off, or answered: which of the two comes first.
    const answered = once(socket, 'message').then(([said]) => assert.fail(`answered with ${said}`))
    await Promise.race([once(socket, 'close'), answered])
  }
  assert.equal(one.asked.length, 0)
})

test('a greeting may say more than this version knows: a newer one tells which it is', async t => {
  const one = await started('one')
  t.after(() => one.close())
  const socket = new WebSocket(`${one.address.replace('http', 'ws')}${PEER_PATH}`)
  const [greeting] = (await once(socket, 'message')) as [Buffer]
  const names = ['dial', JSON.parse(String(greeting)).nonce, 'n', 'newer', 'one']
  const key = createHmac('sha256', clusterKey).update('peers').digest()
  const proof = createHmac('sha256', key).update(JSON.stringify(names)).digest('hex')
  socket.send(JSON.stringify({ server: 'newer', nonce: 'n', proof, protocol: 2 }))
  await once(socket, 'message')
  socket.send(JSON.stringify([{ type: 'ask', id: 1, instance: 'main', command: show }]))
  await until(() => one.asked.length === 1)
  socket.terminate()
})

test('of a stranger GREETING_BYTES_MAX bytes are taken, and what is longer is not even read', async t => {
  const one = await started('one')
  const http = createServer()
  t.after(async () => {
    await one.close()
    http.close()
  })
  http.listen(0, '127.0.0.1')
  await once(http, 'listening')
  // Listening on a host and port, the address is no text.
  const { port } = http.address() as AddressInfo
  const readOf = async (bytes: number) => {
    const met = once(http, 'upgrade')
    const socket = new WebSocket(`ws://127.0.0.1:${port}${PEER_PATH}`)
    socket.on('error', () => undefined)
    const [request, taken, head] = (await met) as Parameters<typeof one.sockets.accept>
    one.sockets.accept(request, taken, head)
    await once(socket, 'message')
    const closed = once(taken, 'close')
    socket.send('['.repeat(bytes))
    await closed
    return (taken as Socket).bytesRead
  }
  assert.ok((await readOf(GREETING_BYTES_MAX - 1_000)) > GREETING_BYTES_MAX - 1_000)
  assert.ok((await readOf(64 * 1024 * 1024)) < 1024 * 1024)
})
