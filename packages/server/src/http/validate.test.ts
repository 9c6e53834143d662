import assert from 'node:assert/strict'
import { test } from 'node:test'
import { closed, description, givenTime, lockId, optional } from '@holdfast/protocol/schemas'
import { withServer } from '../testing.ts'
import { validator } from './validate.ts'

const schema = validator(closed({ at: optional(givenTime), why: optional(description), handle: optional(lockId) }))
const messageOf = (value: object) => {
  assert.ok(!schema.accepts(value), JSON.stringify(value))
  return schema.misfit(value).message
}

test('a time that is none says which form is expected, and one of a day that is not there says that', () => {
  for (const at of ['2028-02-29T23:59:59Z', '2026-11-01T12:00:00.123Z']) assert.ok(schema.accepts({ at }), at)
  for (const at of [
    'x',
    '',
    '2027-01-02',
    '2027-01-02T08:00:00+01:00',
    '2027-01-02T08:00:00',
    '2027-06-30T23:59:60Z',
    5,
  ])
    assert.match(messageOf({ at }), /^`at` must be a time in UTC as RFC 3339 has it, such as `2026-11-01T12:00:00Z`/)
  for (const at of ['2027-02-31T00:00:00Z', '2027-02-29T00:00:00Z', '2027-13-01T00:00:00Z', '2027-01-01T24:00:00Z'])
    assert.equal(messageOf({ at }), '`at` is no time: there is no such day or hour.')
})

test('text that holds what it may not says what that is', () => {
  for (const why of ['a\nb', 'a\tb', 'a\u0085', '\ud800'])
    assert.match(
      messageOf({ why }),
      /^`why` must be well-formed text of 0 to 256 characters without control characters/,
    )
  for (const handle of ['a b', 'ä'])
    assert.match(
      messageOf({ handle }),
      /^`handle` must be well-formed text of 1 to 300 characters out of letters, digits/,
    )
})

test('nobody can say who will hold a lock: `at` in the future is refused', async () => {
  await withServer(async server => {
    const held = async (atMs: number) => {
      const path = `/v2/locks/a/held?at=${new Date(atMs).toISOString()}`
      const { status, body } = await server.ask('GET', path)
      return [status, body.errors?.[0].code, body.errors?.[0].target]
    }
    const refused = [400, 'invalid_request', { type: 'parameter', name: 'at' }]
    assert.deepEqual(await held(Date.now() + 3_600_000), refused)
    // Clocks differ, and that of who asks may be ahead.
    assert.deepEqual(await held(Date.now() + 30_000), [200, undefined, undefined])
  })
})

test('every operation that is given a time refuses what is none', async () => {
  await withServer(async server => {
    const times = ['2027-02-31T00:00:00Z', '2027-06-30T23:59:60Z', 'x', '2027-01-02T08:00:00+01:00']
    for (const time of times) {
      const at = encodeURIComponent(time)
      const answers = [
        await server.ask('GET', `/v2/locks/a/held?at=${at}`),
        await server.ask('GET', `/v2/audit?since=${at}`),
        await server.ask('GET', `/v2/audit?until=${at}`),
        await server.ask('POST', '/v2/freezes', { body: { prefix: 'a', until: time, reason: 'why' } }),
        await server.ask('POST', '/v2/credentials', { body: { name: 'one', expires_at: time } }),
      ]
      for (const { status, body } of answers) {
        assert.equal(status, 400, time)
        assert.match(body.errors[0].message, / (is no|must be a) time/)
      }
    }
  })
})
