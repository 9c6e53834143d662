import assert from 'node:assert/strict'
import { test } from 'node:test'
import { UnavailableError } from './errors.ts'
import type { PlainRequest } from './requests.ts'
import type { Session, WatchMessage } from './session.ts'
import { turn } from './testing/clock.ts'
import { Script } from './testing/scripted.ts'
import { watch } from './watch.ts'

/** What a watch uses of its session. */
class Asked {
  readonly requests: PlainRequest<{ cursor: string }>[] = []
  readonly timers: (() => void)[] = []
  readonly watches = new Map<number, (message: WatchMessage) => void>()
  readonly watchers = new Set()
  readonly isOpen = true
  readonly isClosed = false
  readonly clock = {
    after: (_ms: number, callback: () => void) => {
      this.timers.push(callback)
      return () => void this.timers.splice(this.timers.indexOf(callback), 1)
    },
  }
  submit(request: PlainRequest<{ cursor: string }>): void {
    request.body.id = this.requests.push(request)
  }
  get session(): Session {
    return this as unknown as Session
  }
  get last(): PlainRequest<{ cursor: string }> {
    return this.requests.at(-1)!
  }
}

const nobody = () => new UnavailableError('Nobody has answered in time.')

/** A watch that has begun, lost its connection, and is asked for again on the next. */
function resuming() {
  const asked = new Asked()
  const events = watch(asked.session, { prefix: 'p/' })
  asked.last.succeed({ type: 'reply', id: 1, cursor: 'c0' })
  const [subscription] = asked.watchers as Set<{ lost(): void; opened(): void }>
  subscription!.lost()
  subscription!.opened()
  return { asked, events }
}

test('a watch that has begun is resumed however long that takes', async () => {
  const { asked, events } = resuming()
  assert.equal(asked.requests.length, 2)
  const next = events.next()
  for (let time = 0; time < 3; time++) {
    asked.last.fail(nobody())
    assert.deepEqual([asked.requests.length, asked.timers.length], [2 + time, 1], 'not at once')
    asked.timers.shift()!()
    assert.equal(asked.requests.length, 3 + time)
  }
  assert.deepEqual(asked.last.body, { id: asked.last.id, type: 'watch', prefix: 'p/', after: 'c0' })
  asked.last.succeed({ type: 'reply', id: asked.last.id, cursor: 'c0' })
  const event = { id: 'c1', at: 'now', type: 'released' as const, lock: 'p/a' }
  asked.watches.get(asked.last.id)!({ type: 'event', watch: asked.last.id, event })
  assert.deepEqual(await next, { done: false, value: event })
  await events.return?.()
})

test('a watch that ends while it waits to be asked for again is not asked for', async () => {
  const { asked, events } = resuming()
  asked.last.fail(nobody())
  await events.return?.()
  assert.equal(asked.timers.length, 0)
})

test('one that never began ends with the reason', async () => {
  const asked = new Asked()
  const events = watch(asked.session, { prefix: 'p/' })
  const next = events.next()
  asked.last.fail(nobody())
  await assert.rejects(next, UnavailableError)
  assert.equal((await events.next()).done, true)
})

test('a watch that has ended before it is refused leaves nothing behind', async () => {
  const asked = new Asked()
  const events = watch(asked.session, { prefix: 'p/' })
  await events.return?.()
  asked.last.fail(nobody())
  assert.deepEqual([asked.watches.size, asked.watchers.size], [0, 0])
})

test('a watch that is permitted no more ends with the reason, and one that has to be resumed goes on after its last event', async () => {
  const script = new Script()
  const events = script.holdfast.watch({ prefix: 'p/' })
  await script.welcome()
  const first = script.connection.last('watch')
  await script.connection.say({ type: 'reply', id: first.id, cursor: 'c0' })
  await script.connection.say({ type: 'ended', watch: first.id, error: { code: 'unavailable', message: 'Behind.' } })
  const second = script.connection.last('watch')
  assert.deepEqual([second.prefix, second.after], ['p/', 'c0'])
  await script.connection.say({ type: 'reply', id: second.id, cursor: 'c0' })
  const next = assert.rejects(events.next(), { code: 'forbidden' })
  await script.connection.say({ type: 'ended', watch: second.id, error: { code: 'forbidden', message: 'No more.' } })
  await next
  assert.equal((await events.next()).done, true)
  assert.equal(script.connection.count('unwatch'), 0)
})

test('who is let in no more hears it on open watches too, not only when asking', async () => {
  const script = new Script()
  const events = script.holdfast.watch({ prefix: 'p/' })
  await script.welcome()
  await script.connection.say({ type: 'reply', id: script.connection.last('watch').id, cursor: 'c0' })
  const next = assert.rejects(events.next(), { code: 'unauthenticated' })
  const error = { code: 'unauthenticated', message: 'Revoked.' } as const
  // The first hello is for the session, the second for a new one.
  for (let hello = 0; hello < 2; hello++) {
    await script.connection.cut()
    await script.clock.advance(1_000)
    script.connection.open()
    await script.connection.say({ type: 'reply', id: 0, error })
  }
  await next
  assert.equal((await events.next()).done, true)
})

test('a watch goes on after the last event when the connection was lost, and says when events are missing', async () => {
  const script = new Script()
  const events = script.holdfast.watch({ prefix: 'p/' })
  await script.welcome()
  const first = script.connection.last('watch')
  assert.deepEqual([first.prefix, first.after], ['p/', undefined])
  await script.connection.say({ type: 'reply', id: first.id, cursor: 'c0' })
  const event = { id: 'c1', at: 'now', type: 'granted' as const, lock: 'p/a', queue_length: 2 }
  await script.connection.say({ type: 'event', watch: first.id, event })
  assert.deepEqual((await events.next()).value, { id: 'c1', at: 'now', type: 'granted', lock: 'p/a', queueLength: 2 })
  await script.connection.cut()
  await script.clock.advance(300)
  await script.welcome()
  const second = script.connection.last('watch')
  assert.equal(second.after, 'c1')
  assert.notEqual(second.id, first.id)
  await script.connection.say(
    { type: 'reply', id: second.id, cursor: 'c1' },
    { type: 'reset', watch: second.id, cursor: 'c9' },
  )
  assert.deepEqual((await events.next()).value, { type: 'reset', cursor: 'c9' })
  await events.return?.()
  await turn()
  assert.equal(script.connection.last('unwatch').watch, second.id)
})
