import assert from 'node:assert/strict'
import { once } from 'node:events'
import { get, type IncomingMessage } from 'node:http'
import { connect, type Socket } from 'node:net'
import { test } from 'node:test'
import { OUTBOX_BYTES_MAX } from '@holdfast/protocol/limits'
import { type Clock, systemClock } from '../clock.ts'
import { type Json, ROOT_KEY, type TestServer, withServer } from '../testing.ts'

type Received = { id?: string; event?: string; data?: Json; comment?: string }

/** A reader of one stream, as an `EventSource` would be. */
class Reader {
  readonly blocks: Received[] = []
  #text = ''
  #response: IncomingMessage | null = null
  #wake: () => void = () => {}
  hasEnded = false

  static async open(server: TestServer, path: string, headers: Record<string, string> = {}): Promise<Reader> {
    const reader = new Reader()
    const request = get(`${server.url}${path}`, { headers: { authorization: `Bearer ${ROOT_KEY}`, ...headers } })
    const [response]: IncomingMessage[] = (await once(request, 'response')) as IncomingMessage[] // what Node emits
    assert.equal(response!.headers['content-type'], 'text/event-stream; charset=utf-8')
    assert.ok(response!.headers['x-request-id'])
    reader.#response = response!
    response!.setEncoding('utf8')
    response!.on('data', text => reader.#read(text))
    response!.on('error', () => {})
    response!.on('close', () => {
      reader.hasEnded = true
      reader.#wake()
    })
    return reader
  }

  #read(text: string): void {
    const parts = (this.#text + text).split('\n\n')
    this.#text = parts.pop() ?? ''
    for (const part of parts) {
      const block: Received = {}
      for (const line of part.split('\n')) {
        const colon = line.indexOf(':')
        const value = line.slice(colon + 2)
        if (colon === 0) block.comment = value
        else if (line.startsWith('id')) block.id = value
        else if (line.startsWith('event')) block.event = value
        else if (line.startsWith('data')) block.data = JSON.parse(value)
      }
      this.blocks.push(block)
    }
    this.#wake()
  }

  async until<Found>(find: () => Found | undefined | null | false): Promise<Found> {
    for (;;) {
      const found = find()
      if (found) return found
      await new Promise<void>(resolve => {
        this.#wake = resolve
      })
    }
  }

  events(count: number): Promise<Received[]> {
    return this.until(() => {
      const events = this.blocks.filter(({ event }) => event !== undefined)
      return events.length >= count && events
    })
  }

  close(): void {
    this.#response?.destroy()
  }
}

const acquire = async (server: TestServer, name: string) =>
  (await server.ask('POST', `/v1/locks/${encodeURIComponent(name)}/acquire`, { body: { holder: 'me' } })).body

test('a watch begins with a cursor, then each event has its id, type and lock', async () => {
  await withServer(async server => {
    const reader = await Reader.open(server, '/v1/locks/a/watch')
    await reader.until(() => reader.blocks[0]?.id)
    const { token, lock_id } = await acquire(server, 'a')
    await acquire(server, 'b')
    await server.ask('POST', '/v1/locks/a/release', { body: { lock_id } })
    const events = await reader.events(2)
    assert.deepEqual(
      events.map(({ event, data }) => [event, data.type, data.lock, data.token]),
      [
        ['granted', 'granted', 'a', token],
        ['released', 'released', 'a', token],
      ],
    )
    assert.deepEqual(
      events.map(({ id }) => id),
      events.map(({ data }) => data.id),
    )
    assert.equal(events[0]?.data.holder, 'me')
    reader.close()
  })
})

test('a watch resumes after the last id, by header or by parameter, and misses nothing', async () => {
  await withServer(async server => {
    const first = await Reader.open(server, '/v2/watch?prefix=a/')
    await acquire(server, 'a/1')
    const [{ id } = {}] = await first.events(1)
    first.close()
    await acquire(server, 'a/2')
    await acquire(server, 'b/1')
    const byHeader = await Reader.open(server, '/v2/watch?prefix=a/', { 'last-event-id': id ?? '' })
    assert.deepEqual(
      (await byHeader.events(1)).map(({ data }) => data.lock),
      ['a/2'],
    )
    const byParameter = await Reader.open(server, `/v2/watch?prefix=a/&cursor=${id}`)
    await acquire(server, 'a/3')
    assert.deepEqual(
      (await byParameter.events(2)).map(({ data }) => data.lock),
      ['a/2', 'a/3'],
    )
    byHeader.close()
    byParameter.close()
  })
})

test('a cursor that is foreign, too old or none at all gets a reset with a new one', async () => {
  await withServer(async server => {
    for (const [index, id] of ['foreign-1', '0', 'a b', '"', 'x'.repeat(201)].entries()) {
      const reader = await Reader.open(server, '/v2/watch', { 'last-event-id': id })
      await acquire(server, `a/${index}`)
      const [reset] = await reader.events(1)
      assert.equal(reset?.event, 'reset', id)
      assert.equal(reset?.data.cursor, reset?.id)
      assert.equal((await reader.events(2))[1]?.event, 'granted')
      reader.close()
    }
  })
})

test('an observer hears first who leads, then of each change, with the value', async () => {
  await withServer(async server => {
    const session = await server.openSession({ labels: { holder: 'one' } })
    const reader = await Reader.open(server, '/v2/elections/boss/observe')
    const leaders = (count: number) =>
      reader.until(() => {
        const found = reader.blocks.filter(({ event }) => event === 'leader').map(({ data }) => data.leader)
        return found.length >= count && found
      })
    assert.deepEqual(await leaders(1), [null])
    const { body } = await server.ask('POST', '/v2/elections/boss/campaign', {
      session: session.handle,
      body: { value: 'v1' },
    })
    await leaders(2)
    await server.ask('POST', '/v2/elections/boss/proclaim', {
      session: session.handle,
      body: { token: body.token, value: 'v2' },
    })
    await leaders(3)
    await server.ask('POST', '/v2/elections/boss/resign', { session: session.handle, body: { token: body.token } })
    assert.deepEqual(
      (await leaders(4)).map((leader: Json) => leader && [leader.holder, leader.value]),
      [null, ['one', 'v1'], ['one', 'v2'], null],
    )
    assert.ok(reader.blocks.some(({ event }) => event === 'granted'))
    reader.close()
  })
})

test('an observer never goes back: a leader has no id, and on a resume comes before what was missed, which comes once', async () => {
  await withServer(async server => {
    const campaigner = async (holder: string) => {
      const { handle: session } = await server.openSession({ labels: { holder } })
      const { body } = await server.ask('POST', '/v2/elections/boss/campaign', { session, body: { value: holder } })
      return { session, body: { token: body.token } }
    }
    const first = await Reader.open(server, '/v2/elections/boss/observe')
    await first.until(() => first.blocks.some(({ event }) => event === 'leader'))
    await server.ask('POST', '/v2/elections/boss/resign', await campaigner('one'))
    await campaigner('two')
    await first.until(() => first.blocks.some(({ event, data }) => event === 'leader' && data.leader?.value === 'two'))
    first.close()
    const logged = first.blocks.filter(({ event }) => event !== undefined && event !== 'leader')
    const ids = first.blocks.map(({ id }) => id).filter(id => id !== undefined)
    assert.equal(new Set(ids).size, ids.length)
    assert.deepEqual(
      ids.slice(1),
      logged.map(({ data }) => data.id),
    )
    const again = await Reader.open(server, '/v2/elections/boss/observe', { 'last-event-id': logged[0]?.id ?? '' })
    const events = await again.events(logged.length)
    assert.deepEqual([events[0]?.event, events[0]?.data.leader.value], ['leader', 'two'])
    assert.deepEqual(events.slice(1), logged.slice(1))
    again.close()
  })
})

test('a silent stream has a heartbeat, and a watch ends when the server stops', async () => {
  // Fifteen seconds between heartbeats are too long for a test.
  const clock: Clock = {
    ...systemClock,
    after: (delayMs, callback) => systemClock.after(delayMs === 15_000 ? 10 : delayMs, callback),
  }
  const act = async (server: TestServer) => {
    const reader = await Reader.open(server, '/v2/watch')
    await reader.until(() => reader.blocks.filter(({ comment }) => comment === 'still here').length >= 3)
    const closed = server.close()
    await reader.until(() => reader.hasEnded)
    await closed
  }
  await withServer(act, { clock })
})

test('a reader that never reads is cut off, and costs the server no more than its buffer', async () => {
  await withServer(async server => {
    const connection = once(server.app.server, 'connection')
    const socket = connect(Number(new URL(server.url).port), '127.0.0.1')
    socket.on('error', () => {})
    socket.pause()
    socket.write(`GET /v2/watch HTTP/1.1\r\nhost: x\r\nauthorization: Bearer ${ROOT_KEY}\r\n\r\n`)
    const [peer]: Socket[] = (await connection) as Socket[] // the server's end
    const closed = once(peer!, 'close')
    let isCut = false
    closed.then(() => {
      isCut = true
    })
    const session = await server.openSession({ labels: { holder: 'h'.repeat(100) } })
    let bufferedMax = 0
    const name = 'n'.repeat(250)
    while (!isCut) {
      const locks = Array.from({ length: 64 }, (_, index) => ({ name: `${name}${index}` }))
      const { body } = await server.ask('POST', '/v2/acquire', { session: session.handle, body: { locks } })
      const grants = body.grants.map((grant: Json) => ({ name: grant.name, token: grant.token }))
      await server.ask('POST', '/v2/release', { session: session.handle, body: { grants } })
      bufferedMax = Math.max(bufferedMax, peer!.writableLength)
    }
    assert.ok(bufferedMax > OUTBOX_BYTES_MAX / 2 && bufferedMax < OUTBOX_BYTES_MAX * 1.1, `${bufferedMax} bytes`)
    assert.match((await server.ask('GET', '/metrics')).text, /holdfast_watch_streams 0/)
  })
})
