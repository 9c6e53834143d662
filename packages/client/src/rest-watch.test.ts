/** Watching without a session, against a service that is played: what it sends, when, and how it goes away. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { HoldfastError } from './errors.ts'
import { connect } from './holdfast.ts'
import { EVENT_CHARS_MAX, SILENCE_MS_MAX } from './rest-watch.ts'
import { ManualClock, turn } from './testing/clock.ts'

type Opened = {
  url: URL
  from: string | null
  say(text: string): void
  end(): void
  isLeft(): boolean
}

/** Everything that was asked, in order; `answers` are those that are no streams, by their place. */
function played(answers: Readonly<Record<number, () => Response>> = {}) {
  const clock = new ManualClock()
  const opened: Opened[] = []
  const send = async (input: unknown, { headers, signal }: RequestInit = {}) => {
    let control!: ReadableStreamDefaultController<Uint8Array>
    const body = new ReadableStream<Uint8Array>({
      start(given) {
        control = given
      },
    })
    const asked = new Headers(headers)
    signal?.addEventListener('abort', () => control.error(signal.reason))
    opened.push({
      url: new URL(String(input)),
      from: asked.get('last-event-id'),
      say: text => control.enqueue(new TextEncoder().encode(text)),
      end: () => control.close(),
      isLeft: () => signal?.aborted === true,
    })
    return answers[opened.length]?.() ?? new Response(body, { status: 200 })
  }
  const { rest } = connect({ url: 'http://one', apiKey: 'k', fetch: send as typeof fetch }, { clock })
  const at = async (place: number) => {
    for (let tries = 0; tries < 1_000; tries++) {
      const found = opened[place]
      if (found) return found
      await turn()
      // What is waited for between two tries.
      if (tries > 20) await clock.advance(100)
    }
    throw new Error('nobody has asked')
  }
  return { clock, rest, opened, at }
}

const event = (id: string) =>
  `id: ${id}\nevent: granted\ndata: ${JSON.stringify({ id, type: 'granted', lock: 'a', queue_length: 1 })}\n\n`

test('events come as they are sent, in however many pieces, and signs of life are none', async () => {
  const { rest, at } = played()
  const items = rest.watch({ prefix: 'a', after: 'c0' })
  const first = items.next()
  const { url, from, say } = await at(0)
  assert.equal(`${url.pathname}${url.search}`, '/v2/watch?prefix=a')
  assert.equal(from, 'c0')
  say('retry: 1000\nid: c0\n\n: still here\n\n')
  const text = event('c1')
  say(text.slice(0, 30))
  say(text.slice(30) + event('c2'))
  assert.deepEqual((await first).value, { id: 'c1', type: 'granted', lock: 'a', queueLength: 1 })
  assert.equal((await items.next()).value.id, 'c2')
  await items.return?.()
})

test('a stream that ends is gone on with, after the last event; half an event comes again', async () => {
  const { rest, at, opened } = played()
  const items = rest.watch({ name: 'a/b' })
  const first = items.next()
  const { url, from, say, end } = await at(0)
  assert.equal(url.pathname, '/v1/locks/a%2Fb/watch')
  assert.equal(from, null)
  say(event('c1') + event('c2').slice(0, 20))
  assert.equal((await first).value.id, 'c1')
  const second = items.next()
  end()
  const next = await at(1)
  assert.equal(next.from, 'c1')
  next.say('id: c9\nevent: reset\ndata: {"cursor":"c9"}\n\n')
  assert.deepEqual((await second).value, { type: 'reset', cursor: 'c9' })
  // Who leaves while it waits is not kept until something happens.
  const third = items.next()
  next.end()
  assert.equal((await at(2)).from, 'c9')
  await items.return?.()
  assert.equal((await third).done, true)
  assert.equal(opened[2]?.isLeft(), true)
})

test('who is silent for SILENCE_MS_MAX has gone without a word', async () => {
  const { rest, at, clock, opened } = played()
  const items = rest.watch()
  const first = items.next()
  const { say, isLeft } = await at(0)
  say('id: c0\n\n')
  await turn()
  await clock.advance(SILENCE_MS_MAX - 1)
  say(': still here\n\n')
  await turn()
  await clock.advance(SILENCE_MS_MAX - 1)
  assert.equal(isLeft(), false)
  await clock.advance(1)
  assert.equal(isLeft(), true)
  const again = await at(1)
  assert.equal(again.from, 'c0')
  again.say(event('c1'))
  assert.equal((await first).value.id, 'c1')
  assert.equal(opened.length, 2)
})

test('what is refused is told, at first and later; who is away is waited for when the watch has begun', async () => {
  const refusal = (status: number, code: string) => () =>
    new Response(JSON.stringify({ errors: [{ code, message: 'm' }] }), { status })
  const never = played({ 1: refusal(403, 'forbidden') })
  await assert.rejects(never.rest.watch().next(), { code: 'forbidden' })
  const absent = played({ 1: refusal(503, 'unavailable') })
  await assert.rejects(absent.rest.watch().next(), { code: 'unavailable' })
  const later = played({ 2: refusal(503, 'unavailable'), 3: refusal(403, 'forbidden') })
  const next = later.rest.watch().next()
  const { say } = await later.at(0)
  say('id: c0\n\nevent: ended\ndata: {"reason":"permission_revoked"}\n\n')
  const refused = assert.rejects(next, { code: 'forbidden' })
  await later.at(2)
  await refused
})

test('what has no end is no event', async () => {
  const { rest, at } = played()
  const next = rest.watch().next()
  const { say } = await at(0)
  say('x'.repeat(EVENT_CHARS_MAX))
  await turn()
  say('x')
  await assert.rejects(
    next,
    (error: unknown) => error instanceof HoldfastError && /longer than 1048576/.test(error.message),
  )
})

test('a signal ends it: before it is asked, while it waits, and between two tries', async () => {
  const over = new AbortController()
  over.abort()
  const none = played()
  assert.equal((await none.rest.watch({ signal: over.signal }).next()).done, true)
  assert.equal(none.opened.length, 0)
  const waiting = new AbortController()
  const { rest, at, opened } = played()
  const next = rest.watch({ signal: waiting.signal }).next()
  const { say, isLeft } = await at(0)
  say('id: c0\n\n')
  await turn()
  waiting.abort()
  assert.equal((await next).done, true)
  assert.equal(isLeft(), true)
  const between = new AbortController()
  const last = rest.watch({ signal: between.signal }).next()
  const stream = await at(1)
  stream.say('id: c0\n\n')
  stream.end()
  for (let turns = 0; turns < 20; turns++) await turn()
  between.abort()
  assert.equal((await last).done, true)
  assert.equal(opened.length, 2)
})

test('who takes long over an event has not left, nor has the service', async () => {
  const { rest, at, clock, opened } = played()
  const items = rest.watch()
  const first = items.next()
  const { say, isLeft } = await at(0)
  say(event('c1'))
  assert.equal((await first).value.id, 'c1')
  await clock.advance(2 * SILENCE_MS_MAX)
  assert.equal(isLeft(), false)
  const second = items.next()
  say(event('c2'))
  assert.equal((await second).value.id, 'c2')
  assert.equal(opened.length, 1)
  await items.return?.()
})
