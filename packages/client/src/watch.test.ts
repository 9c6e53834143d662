import assert from 'node:assert/strict'
import { test } from 'node:test'
import { UnavailableError } from './errors.ts'
import type { PlainRequest } from './requests.ts'
import type { Session, WatchMessage } from './session.ts'
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
