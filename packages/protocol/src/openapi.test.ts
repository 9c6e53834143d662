import assert from 'node:assert/strict'
import { test } from 'node:test'
import { Validator } from '@seriousme/openapi-schema-validator'
import type { TSchema } from 'typebox'
import Value from 'typebox/value'
import { openApi } from './openapi.ts'
import type { OperationFields } from './operation.ts'
import { v1 } from './v1.ts'
import { v2 } from './v2.ts'

const operations: OperationFields[] = [...Object.values(v1), ...Object.values(v2)]

function fits(schema: TSchema, example: unknown, what: string): void {
  assert.deepEqual([...Value.Errors(schema, example)], [], what)
}

test('both documents are valid OpenAPI 3.1, by a reading that is not ours', async () => {
  for (const version of ['v1', 'v2'] as const) {
    const validator = new Validator()
    const { valid, errors } = await validator.validate(openApi(version, '0.0.0'))
    assert.ok(valid, JSON.stringify(errors))
    assert.equal(validator.version, '3.1')
  }
})

test('every example fits its schema', () => {
  let count = 0
  for (const { id, body, bodyExample, replies } of operations) {
    if (body && bodyExample !== undefined) {
      fits(body, bodyExample, `the body of ${id}`)
      count++
    }
    for (const [status, reply] of Object.entries(replies)) {
      if (!reply.body || reply.example === undefined) continue
      fits(reply.body, reply.example, `${status} of ${id}`)
      count++
    }
  }
  assert.ok(count >= 10)
})

/** All object schemas within a schema, with a path to each. */
function* objects(schema: unknown, path: string): Generator<{ path: string; schema: Record<string, unknown> }> {
  if (schema === null || typeof schema !== 'object') return
  // A schema is plain JSON.
  const node = schema as Record<string, unknown>
  if (node.type === 'object' || node.type === 'string' || node.type === 'integer') yield { path, schema: node }
  for (const [key, field] of Object.entries(node)) yield* objects(field, `${path}/${key}`)
}

test('whatever a client can send is closed and has its limits', () => {
  for (const { id, params, query, body } of operations) {
    for (const [part, asked] of Object.entries({ params, query, body })) {
      for (const { path, schema } of objects(asked, `${id}/${part}`)) {
        if (schema.type === 'object')
          assert.ok(schema.additionalProperties === false || path.endsWith('/metadata'), `${path} takes unknown fields`)
        if (schema.type === 'string' && schema.const === undefined)
          assert.ok(schema.maxLength !== undefined && schema.pattern !== undefined, `${path} has no limit`)
        if (schema.type === 'integer')
          assert.ok(schema.minimum !== undefined && schema.maximum !== undefined, `${path} has no range`)
      }
    }
  }
})

test('ids are unique within a version, and no path holds two parameters in a row', () => {
  const ids = operations.map(({ id, version }) => `${version} ${id}`)
  assert.equal(new Set(ids).size, ids.length)
  for (const { path, version } of operations) {
    assert.ok(path.startsWith(`/${version}/`))
    assert.doesNotMatch(path, /\}\/\{/)
  }
})
