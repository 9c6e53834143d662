import assert from 'node:assert/strict'
import { EventEmitter } from 'node:events'
import { afterEach, test } from 'node:test'
import { HoldfastError } from '@holdfast/protocol/errors'
import type { ServerMessage } from '@holdfast/protocol/frame'
import { CONNECTION_REQUESTS_MAX } from '@holdfast/protocol/limits'
import type { WebSocket } from 'ws'
import { rootIdentity } from '../../auth/authenticator.ts'
import { sessionSecrets } from '../../auth/secrets.ts'
import { type Clock, systemClock } from '../../clock.ts'
import type { Command, Session } from '../../locks/model.ts'
import { LocalDecisions } from '../../policies/decisions.ts'
import { systemRandom } from '../../random.ts'
import { memoryRegistry } from '../../registry/testing.ts'
import type { Answer, Asking, SessionPush, Shards } from '../../shards/port.ts'
import { FakeClock } from '../../shards/testing.ts'
import { createTelemetry } from '../../telemetry/telemetry.ts'
import type { Doors } from '../doors.ts'
import { Exhausted } from '../exhausted.ts'
import { Intake } from '../intake.ts'
import { Origins } from '../origins.ts'
import { Standing } from '../standing.ts'
import { untouched } from '../testing.ts'
import { WatchCount } from '../watch-count.ts'
import { Connection, RENEWAL_MS_MAX } from './connection.ts'
import type { Arrived } from './greeting.ts'

/** The connection's end of a socket: what it has sent is kept. */
class Socket extends EventEmitter {
  readonly OPEN = 1
  readyState = 1
  bufferedAmount = 0
  readonly sent: ServerMessage[] = []
  send(frame: string): void {
    this.sent.push(...JSON.parse(frame))
  }
  close(): void {
    this.readyState = 3
    this.emit('close')
  }
  terminate(): void {
    this.close()
  }
}

type Asked = { command: Command; asking: Asking; isDetached: boolean }

/** Shards that answer when the test says so: a store that stalls. */
function stalled() {
  const asked: Asked[] = []
  const pushes: ((push: SessionPush) => void)[] = []
  const owner: { url: string | null } = { url: null }
  const shards = {
    submit(_instance: string, command: Command, asking: Asking) {
      const one = { command, asking, isDetached: false }
      asked.push(one)
      return {
        detach() {
          one.isDetached = true
        },
      }
    },
    listen(_instance: string, _session: string, push: (push: SessionPush) => void) {
      pushes.push(push)
      return { stop() {} }
    },
    ownerUrl: () => owner.url,
  } as unknown as Shards // of the port, what a connection uses here
  return { asked, shards, pushes, owner }
}

const session: Session = {
  number: 1,
  id: 's-1',
  ttlMs: 15_000,
  labels: null,
  isSingle: false,
  by: 'root',
  changes: 0,
  seenChanges: 0,
}

/** Ends what the connections of a test have begun, for nothing else does. */
const begun: (() => void)[] = []
afterEach(() => {
  for (const end of begun.splice(0)) end()
})

/** Its `hello` has been sent, and not been answered. */
function greeting(clock: Clock = systemClock) {
  const { asked, shards, pushes, owner } = stalled()
  const config = { logLevel: 'silent', logsRequests: false, serviceName: 's', location: 'l', serverName: 'n' } as const
  const registry = memoryRegistry()
  const doors: Doors = {
    shards,
    authenticate: () => rootIdentity,
    ownTokens: untouched(),
    permissions: new LocalDecisions(registry),
    registry,
    standing: new Standing({ registry, clock }),
    trustedProxies: [],
    secrets: sessionSecrets('c'),
    clock,
    random: systemRandom,
    telemetry: createTelemetry(config, () => null),
    watches: new WatchCount(),
    administration: untouched(),
    metricsAreOpen: true,
    usage: untouched(),
    // Whatever comes is handled at once.
    intake: new Intake({ hrtimeMs: () => 0, afterPoll: call => clock.afterPoll(call) }),
    exhausted: new Exhausted(),
    audit: untouched(),
    origins: new Origins([]),
    release: '0',
    serverId: 'server',
    draining: { isAnnounced: false, isDraining: false },
    peers: null,
  }
  const socket = new Socket()
  begun.push(() => {
    socket.close()
    doors.standing.close()
    doors.telemetry.close()
  })
  const arrived: Arrived = {
    caller: { identity: rootIdentity, subject: 'root', instance: 'default', address: '192.0.2.7' },
    presented: { authorization: undefined, address: '192.0.2.7', certificate: null },
    named: undefined,
    trace: 'trace',
  }
  const connection = new Connection(socket as unknown as WebSocket, doors, arrived) // what it uses of one
  const send = (...messages: object[]) => socket.emit('message', Buffer.from(JSON.stringify(messages)), false)
  send({ type: 'hello' })
  return { asked, socket, connection, send, shards, pushes, owner, telemetry: doors.telemetry }
}

function connected(clock?: Clock) {
  const connection = greeting(clock)
  connection.asked.shift()!.asking.answer({ ok: true, type: 'session', session })
  return connection
}

const turn = () => new Promise(resolve => setImmediate(resolve))

test('when another server comes to decide, the client is told where it listens', async () => {
  const { socket, pushes, owner } = connected()
  const told = async () => {
    await turn()
    return socket.sent.at(-1)
  }
  assert.equal((await told())?.type, 'welcome')
  owner.url = 'https://two.test'
  pushes[0]!({ type: 'moved' })
  assert.deepEqual(await told(), { type: 'moved', owner_url: 'https://two.test' })
  owner.url = null
  pushes[0]!({ type: 'moved' })
  assert.deepEqual(await told(), { type: 'moved' })
})

test('a connection has as many requests in flight as it may, and not one more', async () => {
  // Time stands still: none of so many may be told that it has waited for too long.
  const clock = new FakeClock()
  const { asked, socket, send } = connected(clock)
  for (let id = 1; id <= CONNECTION_REQUESTS_MAX; id++) send({ type: 'renew', id })
  await clock.settle()
  assert.deepEqual([asked.length, socket.sent.length], [CONNECTION_REQUESTS_MAX, 1])
  send({ type: 'renew', id: CONNECTION_REQUESTS_MAX + 1 })
  await clock.settle()
  const refused = socket.sent.at(-1)
  assert.ok(refused?.type === 'reply' && refused.error?.code === 'quota_exceeded')
  asked[0]!.asking.answer({
    ok: true,
    type: 'renewed',
    session: 's-1',
    confers: { ttlMs: 15_000, changes: 0 },
    grants: null,
    epoch: 1,
  })
  send({ type: 'renew', id: CONNECTION_REQUESTS_MAX + 2 })
  assert.equal(asked.length, CONNECTION_REQUESTS_MAX + 1)
})

test('a renewal is answered in time, if only by saying that its outcome is unknown, and once', async () => {
  const clock = new FakeClock()
  const { asked, socket, send } = connected(clock)
  const unknown = () =>
    socket.sent.flatMap(one => (one.type === 'reply' && one.error?.code === 'unavailable' ? [one.id] : []))
  send({ type: 'acquire', id: 1, name: 'a' }, { type: 'renew', id: 2 })
  await clock.pass(RENEWAL_MS_MAX / 2)
  send({ type: 'renew', id: 3 })
  await clock.pass(RENEWAL_MS_MAX / 2 - 1)
  assert.deepEqual(unknown(), [])
  await clock.pass(1)
  assert.deepEqual(unknown(), [2])
  assert.deepEqual(
    asked.map(({ isDetached }) => isDetached),
    [false, true, false],
  )
  const renewed = { ok: true, type: 'renewed', session: 's-1', confers: { ttlMs: 15_000, changes: 0 } } as const
  for (const { asking } of asked.slice(1)) asking.answer({ ...renewed, grants: null, epoch: 1 })
  await clock.pass(RENEWAL_MS_MAX)
  assert.deepEqual(unknown(), [2])
  const answered = socket.sent.flatMap(one => (one.type === 'reply' && one.error === undefined ? [one.id] : []))
  assert.deepEqual(answered, [3], 'an answer that came too late confers nothing')
})

test('an acquire that failed is counted like one that was refused', async () => {
  const { asked, send, telemetry } = connected()
  send({ type: 'acquire', id: 1, name: 'a' }, { type: 'acquire_all', id: 2, locks: [{ name: 'b' }] })
  send({ type: 'release', id: 3, name: 'a', token: 1 })
  await turn()
  assert.equal(asked.length, 3)
  for (const { asking } of asked) asking.fail(new HoldfastError('unavailable', 'The store is away.'))
  assert.match(await telemetry.exposition(), /^holdfast_acquires_total\{outcome="unavailable"\} 2$/m)
})

test('a watch that is asked for while the server stops is refused, and the connection goes on', async () => {
  const clock = new FakeClock()
  const { asked, socket, send, shards } = connected(clock)
  shards.watch = () => {
    throw new HoldfastError('unavailable', 'The server is stopping.')
  }
  assert.doesNotThrow(() => send({ type: 'watch', id: 1, prefix: '' }, { type: 'renew', id: 2 }))
  await clock.settle()
  const reply = socket.sent.at(-1)
  assert.ok(reply?.type === 'reply' && reply.id === 1 && reply.error?.code === 'unavailable')
  assert.equal(asked.length, 1)
})

test('when the connection goes, what it asked for is let go, and nothing more is sent', async () => {
  const { asked, socket, send } = connected()
  send({ type: 'acquire', id: 1, name: 'a' }, { type: 'acquire', id: 2, name: 'b' })
  socket.close()
  assert.ok(asked.every(({ isDetached }) => isDetached))
  const before = socket.sent.length
  asked[0]!.asking.queued?.({ ticket: 1, session: 's-1', position: 1 })
  await turn()
  assert.equal(socket.sent.length, before)
})

test('a session whose opener has gone before it was welcomed is closed, for nobody knows of it', () => {
  const { asked, socket } = greeting()
  socket.close()
  const { asking } = asked.shift()!
  asking.answer({ ok: true, type: 'session', session })
  assert.deepEqual(
    asked.map(({ command }) => command),
    [{ type: 'close_session', by: 'service', session: 's-1' }],
  )
  assert.deepEqual(socket.sent, [])
})

test('what is settled reaches the shard beside other requests, now and then', () => {
  const { asked, send } = connected()
  for (let id = 1; id <= 1_000; id++) send({ type: 'validate', id, name: 'a', token: 1, settled: id })
  const settled = asked.flatMap(({ command }) =>
    command.type === 'renew' && command.settled !== undefined ? [command.settled] : [],
  )
  assert.deepEqual(settled, [256, 512, 768])
  send({ type: 'renew', id: 1_001, settled: 1_001 })
  assert.deepEqual(asked.at(-1)!.command, { type: 'renew', by: 'root', session: 's-1', settled: 1_001 })
})

test('what is only read, watched or refused renews the session too, once in each third of its TTL', async () => {
  const clock = new FakeClock()
  const { asked, send, shards } = connected(clock)
  shards.watch = () => {
    throw new HoldfastError('unavailable', 'The server is stopping.')
  }
  const kept = () => asked.filter(({ command }) => command.type === 'renew')
  const others = [
    { type: 'validate', name: 'a', token: 1 },
    { type: 'value', name: 'a' },
    { type: 'show', name: 'a' },
    { type: 'queue', name: 'a' },
    { type: 'watch', prefix: '' },
    { type: 'unwatch', watch: 1 },
    { type: 'nonsense' },
  ]
  let id = 0
  const sendAll = () => send(...others.map(message => ({ id: ++id, ...message })))
  sendAll()
  await clock.pass(4_999)
  sendAll()
  await clock.settle()
  assert.deepEqual(kept(), [], 'the welcome was not long ago')
  for (const [index, other] of others.entries()) {
    await clock.pass(5_000)
    send({ id: ++id, ...other })
    sendAll()
    await clock.settle()
    assert.equal(kept().length, index + 1, JSON.stringify(other))
  }
  assert.deepEqual(kept()[0]?.command, { type: 'renew', by: 'root', session: 's-1' })
})

test('what is done in the name of the session needs no renewal beside it, unless it never came so far', async () => {
  const clock = new FakeClock()
  const { asked, send } = connected(clock)
  const refused = { ok: false, code: 'lock_held', reason: 'held', held: null } as const
  const limited = { ok: false, code: 'rate_limited', limit: 'operations', max: 1, retryMs: 1 } as const
  const acquire = async (id: number, answer: Answer) => {
    await clock.pass(5_000)
    send({ type: 'acquire', id, name: 'a', wait_ms: 0 })
    await clock.settle()
    asked.at(-1)!.asking.answer(answer)
  }
  const types = () => asked.splice(0).map(({ command }) => command.type)
  await acquire(1, refused)
  send({ type: 'show', id: 2, name: 'a' })
  assert.deepEqual(types(), ['acquire', 'show'])
  await acquire(3, limited)
  send({ type: 'show', id: 4, name: 'a' })
  assert.deepEqual(types(), ['acquire', 'renew', 'show'])
})

test('a command carries what the message said, and what it left out', () => {
  const { asked, send } = connected()
  send({ type: 'acquire', id: 1, name: 'a' })
  assert.deepEqual(asked.at(-1)!.command, {
    type: 'acquire',
    by: 'root',
    session: 's-1',
    claims: [{ lock: 'a', mode: 'exclusive', permits: 1, limit: 0, maxHoldMs: null, lockDelayMs: null }],
    waitMs: null,
    priority: 0,
    preempt: 'never',
    isReentrant: false,
    task: '',
    request: 1,
    labels: null,
    metadata: null,
    value: null,
  })
  send({
    type: 'acquire',
    id: 2,
    name: 'p',
    mode: 'permits',
    permits: 2,
    limit: 3,
    max_hold_ms: 4,
    lock_delay_ms: 5,
    wait_ms: 6,
    priority: 7,
    preempt: 'graceful',
    reentrant: true,
    task: 't',
    metadata: { a: 1 },
    labels: { b: 'c' },
    value: 'v',
  })
  assert.deepEqual(asked.at(-1)!.command, {
    type: 'acquire',
    by: 'root',
    session: 's-1',
    claims: [{ lock: 'p', mode: 'permits', permits: 2, limit: 3, maxHoldMs: 4, lockDelayMs: 5 }],
    waitMs: 6,
    priority: 7,
    preempt: 'graceful',
    isReentrant: true,
    task: 't',
    request: 2,
    labels: { b: 'c' },
    metadata: { a: 1 },
    value: 'v',
  })
})
