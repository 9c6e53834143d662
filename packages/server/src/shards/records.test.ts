import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import type { Entry, Grant, Session } from '../locks/model.ts'
import { encodeEntry, fillEntry } from './records.ts'

const nullable = <Value>(value: fc.Arbitrary<Value>) => fc.option(value, { nil: null })
const count = fc.nat({ max: 5 })
const labels = nullable(fc.dictionary(fc.string(), fc.string(), { maxKeys: 2 }))

const grant: fc.Arbitrary<Grant> = fc.record({
  lock: fc.string(),
  token: fc.nat(),
  mode: fc.constantFrom('exclusive', 'shared', 'permits'),
  permits: count,
  slots: nullable(fc.array(count)),
  limit: count,
  session: fc.string(),
  holder: fc.string(),
  task: fc.constantFrom('', 'task'),
  priority: fc.integer({ min: -2, max: 2 }),
  at: fc.nat(),
  sinceMs: fc.nat(),
  maxHoldMs: count,
  lockDelayMs: count,
  request: nullable(fc.oneof(count, fc.string())),
  count,
  labels,
  metadata: nullable(fc.dictionary(fc.string(), fc.jsonValue() as fc.Arbitrary<unknown>, { maxKeys: 2 })),
  notice: nullable(
    fc.record({ by: fc.string(), reason: fc.string(), endsMs: count, promiseUntilMs: count, change: count }),
  ),
})

const session: fc.Arbitrary<Session> = fc.record({
  number: fc.nat(),
  id: fc.string(),
  ttlMs: fc.nat(),
  labels,
  isSingle: fc.boolean(),
  by: fc.string(),
  changes: count,
  seenChanges: count,
})

/** JSON knows neither -0 nor prototypes. */
const plain = (value: unknown) => JSON.parse(JSON.stringify(value)) as unknown

test('what is read from the log is what was written to it, whatever was left out', () => {
  const check = (entry: Entry) => {
    const read = JSON.parse(encodeEntry(entry)) as Entry
    fillEntry(read)
    assert.deepEqual(plain(read), plain(entry))
    assert.equal(encodeEntry(read), encodeEntry(entry))
  }
  fc.assert(
    fc.property(grant, value =>
      check({ type: 'granted', record: 'grant', lock: value.lock, token: value.token, value }),
    ),
  )
  fc.assert(
    fc.property(session, value => check({ type: 'session_opened', record: 'session', session: value.id, value })),
  )
})

test('the waiter that was removed is not logged', () => {
  const text = encodeEntry({
    type: 'dequeued',
    record: 'wait',
    ticket: 1,
    locks: ['a'],
    value: null,
    gone: { waiter: {} as never, grants: null },
  })
  assert.equal(text.includes('gone'), false)
})
