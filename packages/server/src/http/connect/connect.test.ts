import assert from 'node:assert/strict'
import { once } from 'node:events'
import { connect as connectSocket, type Socket } from 'node:net'
import { test } from 'node:test'
import type { ClientHello, ClientRequest, ServerMessage } from '@holdfast/protocol/frame'
import { serverMessage } from '@holdfast/protocol/frame-schemas'
import {
  CONNECTION_WATCHES_MAX,
  FRAME_BYTES_MAX,
  FRAME_MESSAGES_MAX,
  OUTBOX_BYTES_MAX,
} from '@holdfast/protocol/limits'
import { Compile } from 'typebox/compile'
import { WebSocket } from 'ws'
import { type Clock, systemClock } from '../../clock.ts'
import { type Json, ROOT_KEY, type TestServer, withServer } from '../../testing.ts'

const checkMessage = Compile(serverMessage)

/** A client that keeps every frame, and checks every message against the protocol. */
class Client {
  readonly socket: WebSocket
  readonly frames: ServerMessage[][] = []
  readonly messages: Json[] = []
  closed: { code: number; reason: string } | null = null
  #wake: (() => void)[] = []

  constructor(url: string, { authorization = `Bearer ${ROOT_KEY}` }: { authorization?: string | null } = {}) {
    this.socket = new WebSocket(`${url.replace('http', 'ws')}/v2/connect`, {
      headers: authorization === null ? {} : { authorization },
    })
    this.socket.on('message', data => {
      const frame: ServerMessage[] = JSON.parse(String(data))
      this.frames.push(frame)
      for (const message of frame) {
        assert.ok(checkMessage.Check(message), `not a server message: ${JSON.stringify(message)}`)
        this.messages.push(message)
      }
      this.#woken()
    })
    this.socket.on('close', (code, reason) => {
      this.closed = { code, reason: String(reason) }
      this.#woken()
    })
    this.socket.on('error', () => this.#woken())
  }

  #woken(): void {
    const waiting = this.#wake
    this.#wake = []
    for (const wake of waiting) wake()
  }

  async until<Found>(find: () => Found | undefined | null | false): Promise<Found> {
    for (;;) {
      const found = find()
      if (found) return found
      await new Promise<void>(resolve => this.#wake.push(resolve))
    }
  }

  async opened(): Promise<void> {
    if (this.socket.readyState === WebSocket.OPEN) return
    await new Promise((resolve, reject) => {
      this.socket.once('open', resolve)
      this.socket.once('error', reject)
    })
  }

  send(...messages: (ClientHello | ClientRequest | object)[]): void {
    this.socket.send(JSON.stringify(messages))
  }

  async hello(hello: Partial<ClientHello> = {}): Promise<Json> {
    await this.opened()
    this.send({ type: 'hello', ...hello })
    return this.until(() => this.messages.find(({ type }) => type === 'welcome'))
  }

  reply(id: number): Promise<Json> {
    return this.until(() => this.messages.find(message => message.type === 'reply' && message.id === id))
  }

  async ask(request: ClientRequest): Promise<Json> {
    this.send(request)
    return this.reply(request.id)
  }

  end(): Promise<{ code: number; reason: string }> {
    return this.until(() => this.closed)
  }
}

async function withClient(act: (client: Client, server: TestServer, welcome: Json) => Promise<void>): Promise<void> {
  await withServer(async server => {
    const client = new Client(server.url)
    try {
      await act(client, server, await client.hello())
    } finally {
      client.socket.terminate()
    }
  })
}

test('hello opens a session; acquire, renew and release are answered with time and changes', async () => {
  await withClient(async (client, _server, welcome) => {
    assert.deepEqual([welcome.ttl_ms, welcome.changes, welcome.grants], [15_000, 0, undefined])
    const granted = await client.ask({
      type: 'acquire',
      id: 1,
      name: 'a',
      wait_ms: 0,
      labels: { why: 'test' },
      metadata: { n: 1 },
    })
    assert.deepEqual(
      [granted.grant.name, granted.grant.mode, granted.grant.labels, granted.grant.request_id, granted.ttl_ms],
      ['a', 'exclusive', { why: 'test' }, 1, 15_000],
    )
    const renewed = await client.ask({ type: 'renew', id: 2, wants_grants: true })
    assert.equal(renewed.grants[0].token, granted.grant.token)
    assert.equal(renewed.epoch, Math.floor(granted.grant.token / 2 ** 32), 'of the ownership that answers')
    assert.deepEqual(await client.ask({ type: 'release', id: 3, name: 'a', token: granted.grant.token }), {
      type: 'reply',
      id: 3,
      released: true,
      count: 0,
      ttl_ms: 15_000,
      changes: 0,
    })
  })
})

test('every kind of request is answered', async () => {
  await withClient(async (client, server) => {
    const other = await server.openSession()
    const { grant } = await client.ask({ type: 'acquire', id: 1, name: 'a', value: 'first' })
    const { token } = grant
    assert.deepEqual(await client.ask({ type: 'validate', id: 2, name: 'a', token }), {
      type: 'reply',
      id: 2,
      valid: true,
      token,
      holder: grant.holder,
    })
    assert.equal((await client.ask({ type: 'value', id: 3, name: 'a' })).value, 'first')
    assert.equal((await client.ask({ type: 'write_value', id: 4, name: 'a', token, value: 'second' })).token, token)
    assert.equal((await client.ask({ type: 'show', id: 5, name: 'a' })).value.value, 'second')
    assert.deepEqual((await client.ask({ type: 'queue', id: 6, name: 'a' })).waiters, [])
    const transferred = await client.ask({ type: 'transfer', id: 7, name: 'a', token, to_session: other.id })
    assert.ok(transferred.token > token)
    const set = await client.ask({
      type: 'acquire_all',
      id: 8,
      locks: [{ name: 'b' }, { name: 'c', mode: 'permits', permits: 2, limit: 3 }],
    })
    assert.deepEqual(
      set.grants.map((one: Json) => [one.name, one.permits, one.slots]),
      [
        ['b', undefined, undefined],
        ['c', 2, [0, 1]],
      ],
    )
    const grants = set.grants.map((one: Json) => ({ name: one.name, token: one.token }))
    assert.equal((await client.ask({ type: 'release_all', id: 9, grants })).released, true)
    assert.deepEqual(await client.ask({ type: 'cancel', id: 10, request_id: 11 }), { type: 'reply', id: 10 })
    assert.equal((await client.ask({ type: 'acquire', id: 11, name: 'b' })).error.reason, 'cancelled')
    assert.equal((await client.ask({ type: 'show', id: 12, name: 'nowhere' })).error.code, 'not_found')
    assert.deepEqual(await client.ask({ type: 'close', id: 13 }), { type: 'reply', id: 13 })
    assert.equal((await client.end()).code, 1000)
  })
})

test('what is answered in one turn leaves as one frame', async () => {
  await withClient(async client => {
    const before = client.frames.length
    client.send(
      ...Array.from({ length: 200 }, (_, index) => ({
        type: 'acquire',
        id: index + 1,
        name: `lock ${index}`,
        wait_ms: 0,
      })),
    )
    await client.reply(200)
    assert.equal(client.messages.filter(({ type }) => type === 'reply').length, 200)
    assert.ok(client.frames.length - before <= 5, `${client.frames.length - before} frames`)
  })
})

test('a waiter hears of its place, and of the grant when the holder has gone', async () => {
  await withClient(async (client, server) => {
    const other = new Client(server.url)
    await other.hello()
    const { grant } = await client.ask({ type: 'acquire', id: 1, name: 'a' })
    other.send({ type: 'acquire', id: 1, name: 'a' })
    assert.deepEqual(await other.until(() => other.messages.find(({ type }) => type === 'queued')), {
      type: 'queued',
      id: 1,
      position: 1,
    })
    client.send({ type: 'release', id: 2, name: 'a', token: grant.token })
    assert.ok((await other.reply(1)).grant.token > grant.token)
    other.socket.terminate()
  })
})

test('a lost connection loses nothing: resume lists the grants, and a repeat under the same id meets its wait', async () => {
  await withClient(async (client, server, welcome) => {
    const blocker = await server.openSession()
    const held = await server.ask('POST', '/v2/locks/b/acquire', { session: blocker.handle, body: {} })
    const { grant } = await client.ask({ type: 'acquire', id: 1, name: 'a' })
    client.send({ type: 'acquire', id: 2, name: 'b' })
    await client.until(() => client.messages.find(({ type }) => type === 'queued'))
    client.socket.terminate()

    const session = `${welcome.session.id}.${welcome.session.secret}`
    for (const hello of [{ resume: session }, { resume: session, session }]) {
      const other = new Client(server.url)
      const { session, grants } = await other.hello(hello)
      assert.deepEqual([session.id, grants.length], [welcome.session.id, 1])
      other.socket.terminate()
    }
    const again = new Client(server.url)
    const resumed = await again.hello({ session })
    assert.equal(resumed.session.id, welcome.session.id)
    assert.deepEqual(
      resumed.grants.map((one: Json) => [one.name, one.token, one.request_id]),
      [['a', grant.token, 1]],
    )
    again.send({ type: 'acquire', id: 1, name: 'a' }, { type: 'acquire', id: 2, name: 'b' })
    assert.equal((await again.reply(1)).grant.token, grant.token)
    assert.equal((await server.ask('GET', '/v2/locks/b')).body.waiters, 1)
    await server.ask('POST', '/v2/locks/b/release', { session: blocker.handle, body: { token: held.body.token } })
    assert.equal((await again.reply(2)).grant.name, 'b')
    again.socket.terminate()
  })
})

test('a hello that is not valid is answered under id 0, and the connection closed', async () => {
  await withServer(async server => {
    const cases: [object, string][] = [
      [{ type: 'acquire', id: 1, name: 'a' }, 'invalid_request'],
      [{ type: 'hello', ttl_ms: 1 }, 'invalid_request'],
      [{ type: 'hello', session: 's-1.wrong' }, 'unauthenticated'],
      [{ type: 'hello', resume: 's-1.wrong' }, 'unauthenticated'],
      [{ type: 'hello', session: 's-1.wrong', resume: 's-2.wrong' }, 'invalid_request'],
    ]
    for (const [hello, code] of cases) {
      const client = new Client(server.url)
      await client.opened()
      client.send(hello)
      assert.equal((await client.reply(0)).error.code, code)
      assert.equal((await client.end()).code, 1008)
    }
  })
})

test('a browser sends its key in hello; without a key, or with a wrong one, there is no session', async () => {
  await withServer(async server => {
    const late = new Client(server.url, { authorization: null })
    assert.ok((await late.hello({ authorization: `Bearer ${ROOT_KEY}` })).session.id)
    late.socket.terminate()
    for (const authorization of [undefined, 'Bearer wrong-wrong-wrong-wrong']) {
      const client = new Client(server.url, { authorization: null })
      await client.opened()
      client.send({ type: 'hello', ...(authorization && { authorization }) })
      assert.equal((await client.reply(0)).error.code, 'unauthenticated')
      await client.end()
    }
    const refused = new Client(server.url, { authorization: 'Bearer wrong-wrong-wrong-wrong' })
    await assert.rejects(refused.opened(), /401/)
    const elsewhere = new WebSocket(`${server.url.replace('http', 'ws')}/v2/elsewhere`, {
      headers: { authorization: `Bearer ${ROOT_KEY}` },
    })
    await assert.rejects(new Promise((_, reject) => elsewhere.once('error', reject)), /404/)
  })
})

test('messages that are not valid are answered one by one, and name what is wrong', async () => {
  await withClient(async client => {
    const bad: [object, string][] = [
      [{ type: 'nonsense' }, 'type'],
      [{ type: 'acquire' }, 'name'],
      [{ type: 'acquire', name: 'a', extra: 1 }, 'extra'],
      [{ type: 'acquire', name: 'a', priority: 101 }, 'priority'],
      [{ type: 'acquire', name: 'é'.repeat(129) }, 'name'],
      [{ type: 'acquire', name: 'a\u0000' }, 'name'],
      [{ type: 'acquire', name: 'a\ud800' }, 'name'],
      [{ type: 'acquire', name: 'a', metadata: { long: 'x'.repeat(2048) } }, 'metadata'],
      [{ type: 'release', name: 'a', token: 2 ** 53 }, 'token'],
      [{ type: 'acquire_all', locks: [] }, 'locks'],
      [{ type: 'watch', name: 'a', prefix: 'b' }, 'prefix'],
    ]
    client.send(...bad.map(([message], index) => ({ id: index + 1, ...message })))
    for (const [index, [message, field]] of bad.entries()) {
      const { error } = await client.reply(index + 1)
      assert.deepEqual(
        [error?.code, error?.target?.name],
        ['invalid_request', field],
        JSON.stringify(message).slice(0, 80),
      )
    }
    client.socket.send('[{"id":90,"type":"acquire","name":"a","__proto__":{"x":1}}]')
    assert.equal((await client.reply(90)).error.target.name, '__proto__')
    assert.ok((await client.ask({ type: 'acquire', id: 99, name: 'é'.repeat(128), wait_ms: 0 })).grant)
  })
})

test('a frame that cannot be answered closes the connection and says why', async () => {
  const frames: [string, string | Buffer, number][] = [
    ['no JSON', 'hello?', 1007],
    ['no array', '{"type":"hello"}', 1007],
    ['truncated', '[{"type":"re', 1007],
    ['binary', Buffer.from([1, 2, 3]), 1003],
    ['no id', '[{"type":"renew"}]', 1008],
    ['null', '[null]', 1008],
    ['too many messages', JSON.stringify(Array(FRAME_MESSAGES_MAX + 1).fill({ type: 'renew', id: 1 })), 1008],
    ['too large', `["${'x'.repeat(FRAME_BYTES_MAX)}"]`, 1009],
  ]
  await withServer(async server => {
    for (const [what, frame, code] of frames) {
      const client = new Client(server.url)
      await client.hello()
      client.socket.send(frame, { binary: typeof frame !== 'string' })
      assert.equal((await client.end()).code, code, what)
    }
    const client = new Client(server.url)
    await client.hello()
    client.send(...Array.from({ length: FRAME_MESSAGES_MAX }, (_, index) => ({ type: 'renew', id: index + 1 })))
    await client.reply(FRAME_MESSAGES_MAX)
    client.socket.terminate()
    assert.equal((await server.ask('GET', '/livez')).status, 200)
  })
})

test('what is sent before the welcome is answered after it', async () => {
  await withServer(async server => {
    const client = new Client(server.url)
    await client.opened()
    client.send({ type: 'hello' }, { type: 'acquire', id: 1, name: 'a' }, { type: 'renew', id: 2 })
    await client.reply(2)
    assert.deepEqual(
      client.messages.map(({ type }) => type),
      ['welcome', 'reply', 'reply'],
    )
    client.socket.terminate()
  })
})

test('a connection that answers no ping is cut, one that says no hello is closed', async () => {
  // Who is pinged, and when, the test says.
  let due: (() => void)[] = []
  const clock: Clock = {
    ...systemClock,
    after(delayMs, callback) {
      if (delayMs !== 15_000) return systemClock.after(delayMs, callback)
      due.push(callback)
      return () => {}
    },
  }
  const sweep = () => {
    const calls = due
    due = []
    for (const call of calls) call()
  }
  const act = async (server: TestServer) => {
    /** It has answered the ping, and that has been heard: by then it has been answered itself. */
    const pinged = async ({ socket }: Client) => {
      const ping = once(socket, 'ping')
      sweep()
      await ping
      const pong = once(socket, 'pong')
      socket.ping()
      await pong
    }
    const silent = new Client(server.url)
    await silent.opened()
    await pinged(silent)
    sweep()
    const closed = await silent.end()
    assert.deepEqual([closed.code, closed.reason], [1008, 'No `hello` has come.'])
    const deaf = new Client(server.url)
    await deaf.hello()
    deaf.socket.pause()
    const lively = new Client(server.url)
    await lively.hello()
    await pinged(lively)
    sweep()
    while (!(await server.ask('GET', '/metrics')).text.includes('holdfast_connections 1\n')) {
      await new Promise(resolve => setImmediate(resolve))
    }
    assert.ok((await lively.ask({ type: 'renew', id: 1 })).ttl_ms)
    deaf.socket.terminate()
    lively.socket.terminate()
  }
  await withServer(act, { clock })
})

test('a watch gets the events in order, resumes by cursor, and ends when asked', async () => {
  await withClient(async (client, server) => {
    const { cursor } = await client.ask({ type: 'watch', id: 1, prefix: 'a/' })
    const first = await client.ask({ type: 'acquire', id: 2, name: 'a/1' })
    await client.ask({ type: 'acquire', id: 3, name: 'b/1' })
    await client.ask({ type: 'release', id: 4, name: 'a/1', token: first.grant.token })
    const events = () =>
      client.messages.filter(({ type, watch }) => type === 'event' && watch === 1).map(({ event }) => event)
    await client.until(() => events().length >= 2)
    assert.deepEqual(
      events().map(event => [event.type, event.lock, event.token]),
      [
        ['granted', 'a/1', first.grant.token],
        ['released', 'a/1', first.grant.token],
      ],
    )
    await client.ask({ type: 'unwatch', id: 5, watch: 1 })
    await client.ask({ type: 'acquire', id: 6, name: 'a/2' })
    assert.equal(events().length, 2)

    const other = new Client(server.url)
    await other.hello()
    await other.ask({ type: 'watch', id: 1, prefix: 'a/', after: events()[0].id })
    const later = await other.until(
      () =>
        other.messages.filter(({ type }) => type === 'event').length >= 2 &&
        other.messages.filter(({ type }) => type === 'event'),
    )
    assert.deepEqual(
      later.map(({ event }: Json) => event.type),
      ['released', 'granted'],
    )
    await other.ask({ type: 'watch', id: 2, prefix: '', after: 'foreign-cursor' })
    assert.equal((await other.until(() => other.messages.find(({ type }) => type === 'reset'))).watch, 2)
    assert.ok(cursor)
    other.socket.terminate()
  })
})

test('a connection has as many watches as it may, and not one more', async () => {
  await withClient(async client => {
    for (let id = 1; id <= CONNECTION_WATCHES_MAX; id++)
      assert.ok((await client.ask({ type: 'watch', id, name: `${id}` })).cursor)
    assert.equal((await client.ask({ type: 'watch', id: 1000, name: 'x' })).error.code, 'quota_exceeded')
    await client.ask({ type: 'unwatch', id: 1001, watch: 1 })
    assert.ok((await client.ask({ type: 'watch', id: 1002, name: 'x' })).cursor)
  })
})

test('a holder is told of a preemption and of a forced end, and `changes` counts both', async () => {
  await withClient(async (client, server) => {
    const { grant } = await client.ask({ type: 'acquire', id: 1, name: 'a' })
    await server.ask('POST', '/v2/locks/a/preempt', { body: { reason: 'stop', grace_ms: 60_000 } })
    const notice = await client.until(() => client.messages.find(({ type }) => type === 'preempting'))
    assert.deepEqual(
      [notice.name, notice.token, notice.by, notice.reason, notice.changes],
      ['a', grant.token, 'root', 'stop', 1],
    )
    const renewed = await client.ask({ type: 'renew', id: 2, seen_changes: 0 })
    assert.deepEqual([renewed.changes, renewed.grants[0].notice], [1, { by: 'root', reason: 'stop' }])
    await server.ask('POST', '/v2/locks/a/force-release', { body: { reason: 'now', now: true } })
    const lost = await client.until(() => client.messages.find(({ type }) => type === 'lost'))
    assert.deepEqual([lost.reason, lost.changes], ['forced', 2])
    assert.deepEqual((await client.ask({ type: 'renew', id: 3, seen_changes: 1 })).grants, [])
  })
})

test('a client that never reads is cut off, and costs the server no more than its outbox', async () => {
  // The five seconds that a client is given to close are fewer here.
  const clock: Clock = {
    ...systemClock,
    after: (delayMs, callback) => systemClock.after(delayMs === 5_000 ? 50 : delayMs, callback),
  }
  const act = async (server: TestServer) => {
    const { port } = new URL(server.url)
    const upgraded = once(server.app.server, 'upgrade')
    const socket = connectSocket(Number(port), '127.0.0.1')
    await once(socket, 'connect')
    socket.write(
      `GET /v2/connect HTTP/1.1\r\nhost: x\r\nupgrade: websocket\r\nconnection: upgrade\r\nsec-websocket-version: 13\r\nsec-websocket-key: ${Buffer.alloc(16).toString('base64')}\r\nauthorization: Bearer ${ROOT_KEY}\r\n\r\n`,
    )
    await once(socket, 'data')
    socket.pause()
    // The server's end of the socket.
    const [, peer]: [unknown, Socket] = (await upgraded) as never // what Node emits
    const ended = once(peer, 'close')
    socket.on('error', () => {})
    socket.write(masked(JSON.stringify([{ type: 'hello', ttl_ms: 86_400_000 }])))
    await server.ask('PUT', '/v2/locks/big', { body: { description: 'x'.repeat(256) } })
    let isCut = false
    ended.then(() => {
      isCut = true
    })
    let bufferedMax = 0
    for (let id = 1; !isCut; id += 1_000) {
      const questions = Array.from({ length: 1_000 }, (_, index) => ({ type: 'show', id: id + index, name: 'big' }))
      socket.write(masked(JSON.stringify(questions)))
      await new Promise(resolve => setImmediate(resolve))
      bufferedMax = Math.max(bufferedMax, peer.writableLength)
    }
    // One frame of replies may go beyond the limit before it is noticed.
    assert.ok(bufferedMax > OUTBOX_BYTES_MAX / 2 && bufferedMax < OUTBOX_BYTES_MAX * 2, `${bufferedMax} bytes`)
    socket.destroy()
  }
  await withServer(act, { clock })
})

/** A client's frame: its payload is masked, here with zeros. */
function masked(text: string): Buffer {
  const payload = Buffer.from(text)
  const head =
    payload.length < 126
      ? Buffer.from([0x81, 0x80 | payload.length])
      : payload.length < 65_536
        ? Buffer.from([0x81, 0xfe, payload.length >> 8, payload.length & 255])
        : Buffer.alloc(10)
  if (head.length === 10) {
    head[0] = 0x81
    head[1] = 0xff
    head.writeBigUInt64BE(BigInt(payload.length), 2)
  }
  return Buffer.concat([head, Buffer.alloc(4), payload])
}

test('a server that stops tells its clients, and closes their connections', async () => {
  await withServer(async server => {
    const client = new Client(server.url)
    await client.hello()
    const other = new Client(server.url)
    await other.hello()
    await client.ask({ type: 'acquire', id: 1, name: 'a' })
    other.send({ type: 'acquire', id: 1, name: 'a' })
    await other.until(() => other.messages.find(({ type }) => type === 'queued'))
    const closed = server.close()
    assert.ok(await client.until(() => client.messages.find(({ type }) => type === 'going_away')))
    assert.equal((await other.reply(1)).error.code, 'unavailable')
    assert.equal((await client.end()).code, 1001)
    await closed
  })
})
