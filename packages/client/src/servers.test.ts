/** Several servers of one cluster: any will do, and the one that decides is the nearest. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { UnavailableError } from './errors.ts'
import { baseUrlsOf } from './options.ts'
import { turn } from './testing/clock.ts'
import { Script, type ScriptedConnection, wireGrant } from './testing/scripted.ts'

const urls = ['http://one.test', 'http://two.test', 'http://three.test']
const socket = (url: string) => `${url.replace('http', 'ws')}/v2/connect`

async function holding() {
  const script = new Script({ url: urls })
  const acquiring = script.holdfast.acquire('a')
  await script.welcome()
  await script.grant(7)
  return { script, lock: await acquiring }
}

/** Time goes by in steps of the tick, as it does while something is unanswered. */
async function ticks(script: Script, ms: number, each: () => Promise<void> = async () => {}): Promise<void> {
  for (let passedMs = 0; passedMs < ms; passedMs += 250) {
    await script.clock.advance(250)
    await each()
  }
}

/** Answers every renewal that has been asked for on this connection. */
async function renewed(connection: ScriptedConnection): Promise<void> {
  for (const message of connection.received)
    if (message.type === 'renew')
      connection.sayWithin({ type: 'reply', id: message.id, ttl_ms: 15_000, changes: 0, epoch: 0 })
  await turn()
}

test('a list, or a text with commas; each must be a URL', () => {
  assert.deepEqual(baseUrlsOf({ url: 'http://a:1/, https://b:2' }), ['http://a:1', 'https://b:2'])
  assert.deepEqual(baseUrlsOf({ url: urls }), urls)
  for (const url of ['', 'http://a:1,', 'ftp://a', []])
    assert.throws(() => baseUrlsOf({ url }), /is not an http or https URL/)
})

test('a connection that is lost is made again at the next server, at once, with the same session', async () => {
  const { script, lock } = await holding()
  assert.equal(script.connection.url, socket(urls[0]!))
  await script.clock.advance(2_000)
  await script.connection.cut()
  await script.clock.advance(1)
  assert.equal(script.connection.url, socket(urls[1]!))
  await script.connection.cut()
  await script.clock.advance(1)
  assert.equal(script.connection.url, socket(urls[2]!), 'one that is down costs no pause while there are others')
  await script.welcome({ grants: [] })
  assert.equal(script.connection.last('hello').session, 's-1.secret')
  assert.equal(lock.signal.aborted, true, 'the server does not list it')
})

test('a server that does not welcome in time is left for the next', async () => {
  const script = new Script({ url: urls })
  script.holdfast.acquire('a').catch(() => {})
  await turn()
  script.connection.open()
  await script.clock.advance(2_000)
  await script.clock.advance(1)
  assert.equal(script.connection.url, socket(urls[1]!))
})

test('the library goes to the server that decides, and takes everything with it', async () => {
  const script = new Script({ url: urls })
  const acquiring = script.holdfast.acquire('a')
  await script.welcome({ ownerUrl: urls[2]! })
  assert.equal(script.connection.url, socket(urls[2]!))
  const [first] = script.connections
  assert.deepEqual([first!.isClosed, first!.count('acquire')], [false, 0], 'it is kept until the other is reached')
  // By then somebody else decides; it stays for the time being.
  await script.welcome({ ownerUrl: urls[0]!, grants: [] })
  assert.equal(first!.isClosed, true)
  assert.equal(script.connection.last('hello').session, 's-1.secret')
  await script.grant(7)
  assert.equal((await acquiring).token, 7)
  await ticks(script, 19_750, () => renewed(script.connection))
  assert.equal(script.connections.length, 2)
  await ticks(script, 250, () => renewed(script.connection))
  assert.equal(script.connection.url, socket(urls[0]!), 'ten seconds after it came, and ten more by chance')
})

test('where the one that decides cannot be reached from here, what is there goes on, and it is left in peace', async () => {
  const script = new Script({ url: urls })
  const acquiring = script.holdfast.acquire('a')
  await script.welcome({ ownerUrl: urls[2]! })
  const [first, second] = script.connections
  await second!.cut()
  assert.deepEqual([first!.isClosed, first!.count('hello'), first!.count('acquire')], [false, 1, 1])
  const { id, name } = first!.last('acquire')
  await first!.say(script.granted({ id, name, token: 7 }), { type: 'moved', owner_url: urls[1]! })
  const lock = await acquiring
  await ticks(script, 69_750, () => renewed(first!))
  assert.equal(script.connections.length, 2)
  await ticks(script, 250, () => renewed(first!))
  assert.equal(script.connection.url, socket(urls[1]!), 'a minute, and ten seconds by chance')
  assert.equal(lock.isHeld, true)
})

test('one that does not say whether it is there is waited for no longer than a welcome', async () => {
  const script = new Script({ url: urls })
  script.holdfast.acquire('a').catch(() => {})
  await script.welcome({ ownerUrl: urls[2]! })
  const [first, second] = script.connections
  await script.clock.advance(2_000)
  assert.deepEqual([second!.isClosed, first!.isClosed, first!.count('acquire')], [true, false, 1])
})

test('where it is told on the way there that yet another one decides, it goes on where it is', async () => {
  for (const ownerUrl of [undefined, urls[1]!, urls[2]!]) {
    const script = new Script({ url: urls })
    script.holdfast.acquire('a').catch(() => {})
    await script.welcome({ ownerUrl: urls[2]! })
    const [first, second] = script.connections
    await first!.say({ type: 'moved', ...(ownerUrl !== undefined && { owner_url: ownerUrl }) })
    assert.deepEqual([second!.isClosed, first!.isClosed, first!.count('acquire')], [true, false, 1])
  }
})

test('one that does not welcome us is left for the next, and not gone to again soon', async () => {
  const script = new Script({ url: urls })
  script.holdfast.acquire('a').catch(() => {})
  await script.welcome({ ownerUrl: urls[2]! })
  script.connection.open()
  await script.connection.cut()
  await script.clock.advance(1)
  assert.equal(script.connection.url, socket(urls[0]!))
  await script.welcome({ ownerUrl: urls[2]!, grants: [] })
  assert.equal(script.connection.count('acquire'), 1)
  await ticks(script, 60_000, async () => {
    await renewed(script.connection)
    await script.connection.say({ type: 'queued', id: script.connection.last('acquire').id, position: 1 })
  })
  assert.equal(script.connections.length, 3)
})

test('when another server comes to decide, the library follows it, and nothing is lost on the way', async () => {
  const { script, lock } = await holding()
  const waiting = script.holdfast.acquire('b')
  const events = script.holdfast.watch({ prefix: '' })
  await turn()
  const [first] = script.connections
  await first!.say({ type: 'reply', id: first!.last('watch').id, cursor: 'c0' })
  await first!.say({ type: 'moved', owner_url: urls[1]! })
  await ticks(script, 9_750, () => renewed(script.connection))
  assert.equal(script.connections.length, 1, 'not at once, and not with all the others')
  await script.clock.advance(250)
  assert.equal(script.connection.url, socket(urls[1]!))
  await turn()
  const before = script.events.length
  await script.welcome({ grants: [wireGrant('a', 7, 1)] })
  const second = script.connection
  assert.equal(first!.isClosed, true)
  assert.equal(second.last('acquire').id, first!.last('acquire').id)
  assert.equal(second.last('watch').after, 'c0')
  assert.deepEqual(
    script.events.slice(before).map(({ type }) => type),
    ['session_resumed'],
    'nothing went wrong',
  )
  await script.grant(8)
  assert.deepEqual([(await waiting).token, lock.isHeld], [8, true])
  await events.return?.()
})

test('it stays when the one that it is at has come to decide by then', async () => {
  const { script } = await holding()
  await script.connection.say({ type: 'moved', owner_url: urls[1]! })
  await script.connection.say({ type: 'moved' })
  await ticks(script, 25_000, () => renewed(script.connection))
  assert.equal(script.connections.length, 1)
})

test('who waits for the list of its grants gets it from the server that it has moved to', async () => {
  const { script } = await holding()
  await script.connection.say({ type: 'moved', owner_url: urls[1]! })
  await ticks(script, 9_750, () => renewed(script.connection))
  const adopting = script.holdfast.adopt('b')
  await turn()
  await script.clock.advance(250)
  await script.welcome({ grants: [wireGrant('a', 7, 1)] })
  const { id } = script.connection.last('renew')
  const grants = [wireGrant('a', 7, 1), wireGrant('b', 9)]
  await script.connection.say({ type: 'reply', id, ttl_ms: 15_000, changes: 0, epoch: 0, grants })
  assert.equal((await adopting)?.token, 9)
})

test('who waits for that list hears of it when the session has ended on the way', async () => {
  const { script } = await holding()
  await script.connection.say({ type: 'moved', owner_url: urls[1]! })
  await ticks(script, 9_750, () => renewed(script.connection))
  let told: unknown = 'nothing'
  script.holdfast.adopt('b').catch(error => (told = error))
  await turn()
  await script.clock.advance(250)
  script.connection.open()
  await script.connection.say({ type: 'reply', id: 0, error: { code: 'not_found', message: 'No such session.' } })
  assert.ok(told instanceof UnavailableError, String(told))
})

test('a server that it was not told of is not gone to', async () => {
  const script = new Script({ url: urls })
  const acquiring = script.holdfast.acquire('a')
  await script.welcome({ ownerUrl: 'http://elsewhere.test' })
  assert.equal(script.connections.length, 1)
  await script.grant(7)
  assert.equal((await acquiring).token, 7)
})

test('a call that surely was not sent is made at the next server; one that may have been is not, but for reading', async () => {
  const asked: string[] = []
  const failing =
    (code: string): typeof fetch =>
    async input => {
      asked.push(new URL(String(input)).host)
      if (asked.length < 3) throw new TypeError('fetch failed', { cause: Object.assign(new Error(code), { code }) })
      return new Response('{}')
    }
  const call = (method: string, code: string) => {
    asked.length = 0
    return new Script({ url: urls, fetch: failing(code) }).holdfast.rest.call(method, '/v2/x')
  }
  for (const [method, code] of [
    ['POST', 'ECONNREFUSED'],
    ['GET', 'ECONNRESET'],
  ] as const) {
    await call(method, code)
    assert.deepEqual(asked, ['one.test', 'two.test', 'three.test'])
  }
  await assert.rejects(call('POST', 'ECONNRESET'), /Cannot reach/)
  assert.deepEqual(asked, ['one.test'])
})

test('calls that fail together at a server that is down are all made at the next one', async () => {
  const asked: string[] = []
  const send: typeof fetch = async input => {
    const { host } = new URL(String(input))
    asked.push(host)
    const refused = Object.assign(new Error('refused'), { code: 'ECONNREFUSED' })
    if (host === 'one.test') throw new TypeError('fetch failed', { cause: refused })
    return new Response('{}')
  }
  const { rest } = new Script({ url: urls.slice(0, 2), fetch: send }).holdfast
  await Promise.all([1, 2, 3].map(number => rest.call('GET', `/v2/${number}`)))
  assert.deepEqual(asked.sort(), [...Array(3).fill('one.test'), ...Array(3).fill('two.test')])
  asked.length = 0
  await rest.call('GET', '/v2/4')
  assert.deepEqual(asked, ['two.test'])
})

test('a server that falls silent with something unanswered is asked whether it is there, and left for the next', async () => {
  const { script } = await holding()
  script.holdfast.acquire('b').catch(() => {})
  await turn()
  const asked = script.connection.last('acquire').id
  await ticks(script, 1_500)
  assert.equal(script.connection.count('renew'), 1, 'long before a heartbeat is due')
  await ticks(script, 2_500)
  assert.equal(script.connection.url, socket(urls[1]!))
  await script.welcome({ grants: [] })
  assert.equal(script.connection.last('acquire').id, asked)
})

/** Says of each renewal that its outcome is unknown, as a server does that is there and no more than that. */
function shrug(script: Script): () => Promise<void> {
  const { connection } = script
  let said = 0
  return async () => {
    if (said === connection.count('renew')) return
    said = connection.count('renew')
    await connection.say({
      type: 'reply',
      id: connection.last('renew').id,
      error: { code: 'unavailable', message: '' },
    })
  }
}

test('a server that is there is not left at once, though it can say no more than that: another one may be about to decide', async () => {
  const { script, lock } = await holding()
  script.holdfast.acquire('b').catch(() => {})
  await turn()
  const { connection } = script
  await ticks(script, 3_500, shrug(script))
  assert.equal(connection.isClosed, false)
  assert.ok(connection.count('renew') > 1)
  await script.renewed()
  await ticks(script, 3_500, shrug(script))
  assert.equal(connection.isClosed, false, 'it has served us in between')
  assert.ok(lock.isHeld)
})

test('a server that does not reach the one that decides is left for the next, long before belief ends', async () => {
  const { script, lock } = await holding()
  script.holdfast.acquire('b').catch(() => {})
  await turn()
  await ticks(script, 5_500, shrug(script))
  assert.equal(script.connection.url, socket(urls[1]!))
  await script.welcome({ grants: [wireGrant('a', 7, 1)] })
  await script.renewed()
  assert.ok(lock.validForMs() > 11_000)
})

test('after a stall the server is heard before it is judged', async () => {
  const { script } = await holding()
  script.holdfast.acquire('b').catch(() => {})
  await ticks(script, 1_500)
  const { connection } = script
  assert.equal(connection.count('renew'), 1)
  script.clock.stall(5_000)
  await script.clock.advance(1)
  assert.equal(connection.isClosed, false, 'the answer may lie in the socket')
  await script.renewed()
  await ticks(script, 500)
  assert.equal(connection.isClosed, false)
})
