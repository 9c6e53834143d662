import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { TSchema } from 'typebox'
import Value from 'typebox/value'
import * as limits from './limits.ts'
import { v2Administration as operations } from './v2-administration.ts'
import { recordId } from './v2-administration-schemas.ts'

const many = (count: number, make = (index: number) => `s${index}`) =>
  Array.from({ length: count }, (_, index) => make(index))

/** Fits at the limit, and not one past it. */
function edge(schema: TSchema, fields: (size: number) => object, max: number) {
  assert.ok(Value.Check(schema, fields(max)), `${max} of ${JSON.stringify(fields(1))}`)
  assert.ok(!Value.Check(schema, fields(max + 1)), `${max + 1} of ${JSON.stringify(fields(1))}`)
}

test('each limit of a policy, at the limit and one past it', () => {
  const { body } = operations.createPolicy
  const policy = { subjects: ['*'], roles: ['reader'] }
  edge(body, size => ({ ...policy, subjects: many(size) }), limits.POLICY_SUBJECTS_MAX)
  edge(body, size => ({ ...policy, subjects: ['s'.repeat(size)] }), limits.SUBJECT_CHARS_MAX)
  edge(body, size => ({ ...policy, roles: many(size) }), limits.POLICY_ROLES_MAX)
  edge(body, size => ({ ...policy, locks: many(size) }), limits.POLICY_PATTERNS_MAX)
  edge(body, size => ({ ...policy, locks: ['l'.repeat(size)] }), limits.LOCK_NAME_BYTES_MAX)
  edge(body, size => ({ ...policy, conditions: { sources: many(size) } }), limits.POLICY_SOURCES_MAX)
  for (const hours of [
    { from: '08:00', to: '24:00' },
    { from: '8:00', to: '18:00' },
    { from: '08:00', to: '18:00', days: [7] },
  ])
    assert.ok(!Value.Check(body, { ...policy, conditions: { hours } }), JSON.stringify(hours))
  assert.ok(Value.Check(body, { ...policy, conditions: { hours: { from: '22:00', to: '05:59', days: [0, 6] } } }))
})

test('each limit of a credential and of an instance, at the limit and one past it', () => {
  edge(operations.createCredential.body, size => ({ name: 'n', groups: many(size) }), limits.GROUPS_MAX)
  edge(operations.createCredential.body, size => ({ name: 'n'.repeat(size) }), limits.RECORD_NAME_CHARS_MAX)
  edge(
    operations.createInstance.body,
    size => ({ name: 'n', plan: 'p', capacity_units: size }),
    limits.CAPACITY_UNITS_MAX,
  )
  edge(operations.createInstance.body, size => ({ name: 'n', plan: 'p'.repeat(size) }), limits.RECORD_ID_CHARS_MAX)
})

test('an id is a part of a path and of a key: lower-case letters, digits and dashes', () => {
  for (const id of ['a', '0', 'k-1', 'default']) assert.ok(Value.Check(recordId, id), id)
  for (const id of ['', '-', 'A', 'a.b', 'a/b', '..', 'ä', 'a b']) assert.ok(!Value.Check(recordId, id), id)
})
