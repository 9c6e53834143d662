/** What a watcher may have read of a log of three batches. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { Entry } from '../../packages/server/src/locks/model.ts'
import { Violation } from './judge.ts'
import type { Written } from './log.ts'
import { Events, type Seen } from './watching.ts'

const instance = 'default'

function eventsOf(...tokens: number[]): Events {
  const events = new Events()
  for (const [seq, token] of tokens.entries()) {
    const entry = { record: 'grant', type: 'granted', lock: 'a', token, value: {} } as unknown as Entry
    events.wrote({ instance, entry, batch: { seq: seq + 1 }, shard: 0 } as unknown as Written)
  }
  return events
}

const read = (seq: number, token: number): Seen => ({ id: `c-${seq}-1`, type: 'granted', lock: 'a', token })
const reset = (seq: number, keptFrom: number): Seen => ({ reset: `c-${seq}-1`, keptFrom })
const compare = (seen: readonly Seen[]) => eventsOf(1, 2, 3).compare(instance, seen, { isAtRest: true })

test('a watcher reads every event once, in order, to the end', () => {
  assert.equal(compare([read(1, 1), read(2, 2), read(3, 3)]), 3)
  for (const seen of [[read(1, 1), read(3, 3)], [read(1, 1), read(1, 1)], [read(1, 1), read(2, 2)], [read(1, 7)]])
    assert.throws(() => compare(seen), Violation)
})

test('a watcher is reset only when the log no longer had what came after its cursor', () => {
  assert.equal(compare([read(1, 1), reset(2, 2), read(3, 3)]), 2)
  assert.throws(() => compare([read(1, 1), reset(2, 1), read(3, 3)]), /I13: a watcher was reset to c-2-1/)
  assert.throws(() => compare([read(1, 1), read(2, 2), reset(2, 2), read(3, 3)]), /I13: a watcher was reset/)
  assert.throws(() => compare([read(1, 1), reset(2, 2), reset(2, 2), read(3, 3)]), /I13: a watcher was reset/)
})

test('a watcher that reads nothing, or is only ever reset, has not watched', () => {
  assert.throws(() => compare([]), /I13: a watcher has read nothing/)
  assert.throws(() => compare([reset(1, 1), reset(2, 9), reset(3, 9)]), /I13: a watcher has read nothing/)
})
