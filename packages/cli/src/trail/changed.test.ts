import assert from 'node:assert/strict'
import { test } from 'node:test'
import { CHANGED_CHARS_MAX, changedText } from './changed.ts'

test('what was written is said in a line, without what says nothing', () => {
  const value = {
    description: '',
    subjects: ['key:k-1', '*'],
    roles: ['manager'],
    locks: ['orders/*'],
    conditions: { max_ttl_ms: 60_000 },
    labels: {},
  }
  assert.equal(
    changedText([
      { kind: 'policy', id: 'p-1', value },
      { kind: 'role', id: 'night', is_removed: true },
      { kind: 'plan', id: 'gold', is_left_out: true },
    ]),
    'policy p-1: subjects key:k-1 *; roles manager; locks orders/*; conditions {"max_ttl_ms":60000} | role night removed | plan gold: too large to be told',
  )
})

test('it does not move a cursor, and is no longer than a line may be', () => {
  assert.equal(
    changedText([{ kind: 'lock', id: 'a', value: { description: '\u001b[2J' } }]),
    'lock a: description \\u001b[2J',
  )
  const text = changedText([{ kind: 'lock', id: 'a', value: { description: '💥'.repeat(1_000) } }])
  assert.equal([...text].length, CHANGED_CHARS_MAX)
  assert.match(text, /💥…$/u)
})
