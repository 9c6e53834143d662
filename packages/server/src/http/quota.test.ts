/** What an instance may use, at n and n + 1, as its clients meet it: over REST and over the WebSocket, at a real server. */
import assert from 'node:assert/strict'
import { request } from 'node:http'
import { test } from 'node:test'
import { WebSocket } from 'ws'
import { planIdOf } from '../instances/catalog-ids.ts'
import { type Limits, noLimits } from '../registry/records.ts'
import { instanceRecord } from '../registry/testing.ts'
import { type Answer, type Json, ROOT_KEY, type TestServer, withServer } from '../testing.ts'

const deed = {
  by: 'test',
  from: '',
  action: 'instance.update',
  instance: 'default',
  target: '',
  outcome: 'success',
  status: 200,
  reason: '',
  trace: '',
} as const

/** From the next command on the instance has these limits and no others. */
async function limit(server: TestServer, overrides: Partial<Limits>): Promise<void> {
  const value = instanceRecord({ id: 'default', plan: 'premium', overrides: { ...noLimits, ...overrides } })
  await server.registry.change(deed, () => [{ kind: 'instance', id: 'default', value }])
}

function isRefused({ status, body, headers }: Answer, code: string, name: string, max: number): void {
  assert.deepEqual([status, body.errors?.[0]?.code], [429, code], JSON.stringify(body))
  const [{ limit: named, max: value }] = body.errors
  assert.deepEqual([named, value], [name, max])
  assert.match(headers['retry-after'] ?? '', /^[1-9][0-9]*$/)
}

/** One WebSocket: what is asked, and what is answered, by id. */
class Client {
  readonly #socket: WebSocket
  readonly #waiting = new Map<number, (reply: Json) => void>()
  #lastId = 0

  constructor(url: string) {
    const headers = { authorization: `Bearer ${ROOT_KEY}` }
    this.#socket = new WebSocket(`${url.replace('http', 'ws')}/v2/connect`, { headers })
    this.#socket.on('message', data => {
      for (const message of JSON.parse(String(data))) {
        if (message.type === 'welcome') this.#waiting.get(-1)?.(message)
        if (message.type === 'reply' || message.type === 'queued') this.#waiting.get(message.id)?.(message)
      }
    })
  }

  async hello(): Promise<Json> {
    await new Promise(resolve => this.#socket.once('open', resolve))
    const answered = new Promise<Json>(resolve => {
      this.#waiting.set(-1, resolve)
      this.#waiting.set(0, resolve)
    })
    this.#socket.send(JSON.stringify([{ type: 'hello' }]))
    return answered
  }

  /** The first that is said about it: a reply, or its place in line. */
  ask(message: object): Promise<Json> {
    const id = ++this.#lastId
    const answered = new Promise<Json>(resolve => this.#waiting.set(id, resolve))
    this.#socket.send(JSON.stringify([{ ...message, id }]))
    return answered
  }

  async close(): Promise<void> {
    const closed = new Promise(resolve => this.#socket.once('close', resolve))
    this.#socket.close()
    await closed
  }
}

async function withClient(server: TestServer, act: (client: Client) => Promise<void>): Promise<void> {
  const client = new Client(server.url)
  assert.equal((await client.hello()).type, 'welcome')
  try {
    await act(client)
  } finally {
    await client.close()
  }
}

const acquire = (name: string, fields: object = {}) => ({ type: 'acquire', name, wait_ms: 0, ...fields })
const quota = (name: string, max: number) => ({ code: 'quota_exceeded', limit: name, max })
const refusalOf = ({ error }: Json) => ({ code: error?.code, limit: error?.limit, max: error?.max })

test('operations: a burst of n passes, the next is told when to come back, renewals and releases go through', async () => {
  await withServer(async server => {
    const session = await server.openSession()
    const { token } = (await server.ask('POST', '/v2/locks/a/acquire', { session: session.handle, body: {} })).body
    await limit(server, { operationsPerSecond: 1, burstOperations: 3 })
    const show = () => server.ask('GET', '/v2/locks/a')
    const beganMs = performance.now()
    let passed = 0
    let refused = await show()
    for (; refused.status === 200; refused = await show()) passed++
    // What flows in while they are asked, on a machine that is slow.
    const more = Math.ceil((performance.now() - beganMs) / 1_000)
    assert.ok(passed >= 3 && passed <= 3 + more, `${passed} passed`)
    isRefused(refused, 'rate_limited', 'operations_per_second', 1)
    assert.ok(refused.body.errors[0].retry_after_ms <= 1_000)
    assert.deepEqual(
      [refused.headers['x-ratelimit-limit'], refused.headers['x-ratelimit-remaining'], refused.headers.ratelimit],
      ['1', '0', '"operations_per_second";r=0;t=1'],
    )
    assert.equal(refused.headers['ratelimit-policy'], '"operations_per_second";q=1;w=1')
    assert.match(refused.headers['x-ratelimit-reset'] ?? '', /^[0-9]{10}$/)
    const { handle, id } = session
    assert.equal((await server.ask('POST', `/v2/sessions/${id}/renew`, { session: handle, body: {} })).status, 200)
    const grants = { token }
    assert.equal((await server.ask('POST', '/v2/locks/a/validate', { body: grants })).status, 200)
    assert.equal((await server.ask('POST', '/v2/locks/a/release', { session: handle, body: grants })).status, 200)
    assert.equal((await server.ask('DELETE', `/v2/sessions/${id}`, { session: handle })).status, 204)
  })
})

test('operations over the WebSocket: the same bucket, at once, and the connection lives on', async () => {
  await withServer(async server => {
    await withClient(server, async client => {
      const held = await client.ask(acquire('a'))
      await limit(server, { operationsPerSecond: 1, burstOperations: 2 })
      const replies = await Promise.all(Array.from({ length: 6 }, (_, index) => client.ask(acquire(`${index}`))))
      // One may have flowed in on a machine that is slow.
      const granted = replies.filter(({ grant }) => grant).length
      assert.ok(granted === 2 || granted === 3, `${granted} granted`)
      assert.deepEqual(refusalOf(replies.at(-1)), { code: 'rate_limited', limit: 'operations_per_second', max: 1 })
      assert.ok(replies.at(-1).error.retry_after_ms > 0)
      assert.equal((await client.ask({ type: 'renew' })).error, undefined)
      const { token } = held.grant
      assert.equal((await client.ask({ type: 'release', name: 'a', token })).released, true)
    })
  })
})

test('held locks, over REST, `/v1` and the WebSocket: n are granted and the next is not', async () => {
  await withServer(async server => {
    await limit(server, { heldLocks: 3 })
    const { handle: session } = await server.openSession()
    const rest = (name: string) => server.ask('POST', `/v2/locks/${name}/acquire`, { session, body: {} })
    const v1 = (name: string) => server.ask('POST', `/v1/locks/${name}/acquire`, { body: {} })
    await withClient(server, async client => {
      assert.equal((await rest('a')).status, 200)
      assert.equal((await v1('b')).status, 200)
      const { grant } = await client.ask(acquire('c'))
      isRefused(await rest('d'), 'quota_exceeded', 'held_locks', 3)
      isRefused(await v1('d'), 'quota_exceeded', 'held_locks', 3)
      assert.deepEqual(refusalOf(await client.ask(acquire('d'))), quota('held_locks', 3))
      assert.equal((await client.ask({ type: 'release', name: 'c', token: grant.token })).released, true)
      assert.equal((await rest('d')).status, 200)
    })
  })
})

test('sessions: n are opened, over both doors together, and the next is not', async () => {
  await withServer(async server => {
    await limit(server, { sessions: 2 })
    const { id, handle } = await server.openSession()
    await withClient(server, async () => {
      isRefused(await server.ask('POST', '/v2/sessions', { body: {} }), 'quota_exceeded', 'sessions', 2)
      const late = new Client(server.url)
      assert.deepEqual(refusalOf(await late.hello()), quota('sessions', 2))
      assert.equal((await server.ask('DELETE', `/v2/sessions/${id}`, { session: handle })).status, 204)
      await server.openSession()
      isRefused(await server.ask('POST', '/v2/sessions', { body: {} }), 'quota_exceeded', 'sessions', 2)
    })
  })
})

test('waiters: n stand in line and the next is refused at once', async () => {
  await withServer(async server => {
    await limit(server, { waiters: 2 })
    const { handle: session } = await server.openSession()
    assert.equal((await server.ask('POST', '/v2/locks/a/acquire', { session, body: {} })).status, 200)
    await withClient(server, async client => {
      const wait = () => client.ask(acquire('a', { wait_ms: 60_000 }))
      assert.deepEqual([(await wait()).type, (await wait()).type], ['queued', 'queued'])
      assert.deepEqual(refusalOf(await wait()), quota('waiters', 2))
      const body = { wait_ms: 60_000 }
      const refused = await server.ask('POST', '/v2/locks/a/acquire', { session, body })
      isRefused(refused, 'quota_exceeded', 'waiters', 2)
    })
  })
})

test('stored bytes: the n-th is kept, the next refused, over both doors', async () => {
  await withServer(async server => {
    await limit(server, { storedBytes: 10 })
    const { handle: session } = await server.openSession()
    const { token } = (await server.ask('POST', '/v2/locks/a/acquire', { session, body: {} })).body
    const write = (value: string) => server.ask('PUT', '/v2/locks/a/value', { session, body: { token, value } })
    assert.equal((await write('é'.repeat(5))).status, 200)
    isRefused(await write(`${'é'.repeat(5)}.`), 'quota_exceeded', 'stored_bytes', 10)
    isRefused(await server.ask('PUT', '/v2/locks/b', { body: {} }), 'quota_exceeded', 'stored_bytes', 10)
    await withClient(server, async client => {
      assert.deepEqual(refusalOf(await client.ask(acquire('c', { metadata: { a: 1 } }))), quota('stored_bytes', 10))
      assert.ok((await client.ask(acquire('c'))).grant)
    })
    assert.equal((await write('.')).status, 200)
  })
})

test('watches: n are open, streams and those of connections together; the next is refused before it has begun', async () => {
  await withServer(async server => {
    await limit(server, { watches: 2 })
    await withClient(server, async client => {
      assert.ok((await client.ask({ type: 'watch', prefix: '' })).cursor)
      const stream = request(`${server.url}/v2/watch`, { headers: { authorization: `Bearer ${ROOT_KEY}` } })
      const opened = new Promise<number | undefined>(resolve =>
        stream.once('response', response => resolve(response.statusCode)),
      )
      stream.on('error', () => undefined)
      stream.end()
      assert.equal(await opened, 200)
      assert.deepEqual(refusalOf(await client.ask({ type: 'watch', prefix: '' })), quota('watches', 2))
      isRefused(await server.ask('GET', '/v2/watch'), 'quota_exceeded', 'watches', 2)
      stream.destroy()
      // The server hears of it in its own time.
      for (;;) {
        const reply = await client.ask({ type: 'watch', prefix: '' })
        if (reply.cursor) break
        assert.deepEqual(refusalOf(reply), quota('watches', 2))
      }
    })
  })
})

test('usage is told, for a month that is yet to be counted too, and nonsense is refused', async () => {
  await withServer(async server => {
    const { status, body } = await server.ask('GET', '/v2/usage')
    assert.equal(status, 200)
    assert.deepEqual([body.instance, body.plan, body.month.cost_usd], ['default', 'unmetered', 0])
    await limit(server, {})
    const hours = await server.ask('GET', '/v2/usage?by=hour')
    const { plan, plan_id } = hours.body
    assert.deepEqual([hours.status, plan, plan_id], [200, 'premium', planIdOf({ serviceName: 'go-etcd-lock', plan })])
    const bad = await server.ask('GET', '/v2/usage?from=2030-01-02T00:00:00Z&to=2030-01-01T00:00:00Z')
    assert.deepEqual([bad.status, bad.body.errors[0].target.name], [400, 'from'])
    assert.equal((await server.ask('GET', '/v2/usage?by=week')).status, 400)
    assert.equal((await server.ask('GET', '/v2/usage', { key: null })).status, 401)
  })
})
