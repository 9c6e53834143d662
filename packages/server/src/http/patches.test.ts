/** PATCH is a merge patch (RFC 7386), whatever is patched. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { LABELS_MAX } from '@holdfast/protocol/limits'
import { type Answer, withServer } from '../testing.ts'

const code = (answer: Answer) => [answer.status, answer.body?.errors?.[0].code]
const headers = { 'content-type': 'application/merge-patch+json' }

test('the labels of a lock are merged one by one: null takes one away, what is left out stays', async () => {
  await withServer(async server => {
    const path = '/v2/locks/a'
    const patch = (body: object) => server.ask('PATCH', path, { body, headers })
    await server.ask('PUT', path, { body: { description: 'x', labels: { a: '1', b: '2' } } })
    assert.deepEqual((await patch({ labels: { a: null, c: '3' } })).body.labels, { b: '2', c: '3' })
    assert.deepEqual((await patch({ labels: { constructor: 'd' } })).body.labels, { b: '2', c: '3', constructor: 'd' })
    const without = await patch({ labels: null })
    assert.deepEqual([without.body.labels, without.body.description], [undefined, 'x'])
    assert.deepEqual((await patch({ labels: { e: '5', f: null } })).body.labels, { e: '5' })
    assert.deepEqual(code(await patch({ labels: { e: 5 } })), [400, 'invalid_request'])
    assert.deepEqual(code(await server.ask('PUT', path, { body: { labels: { e: null } } })), [400, 'invalid_request'])
    assert.deepEqual((await server.ask('PUT', path, { body: { labels: { g: '7' } } })).body.labels, { g: '7' })
  })
})

test('a lock has LABELS_MAX labels, however they are merged', async () => {
  await withServer(async server => {
    const many = (letter: string, count: number, value: string | null = 'x') =>
      Object.fromEntries(Array.from({ length: count }, (_, index) => [`${letter}${index}`, value]))
    const patch = (labels: object) => server.ask('PATCH', '/v2/locks/a', { body: { labels }, headers })
    assert.equal((await patch(many('a', LABELS_MAX))).status, 201)
    const refused = await patch({ one: 'more' })
    assert.deepEqual([...code(refused), refused.body.errors[0].target.name], [400, 'invalid_request', 'labels'])
    const swapped = await patch({ ...many('a', LABELS_MAX, null), ...many('b', LABELS_MAX) })
    assert.deepEqual(swapped.body.labels, many('b', LABELS_MAX))
  })
})

test('limits of an instance’s own are merged one by one: null takes one away, and is not without limit', async () => {
  await withServer(async server => {
    const body = { name: 'red', plan: 'premium', capacity_units: 1, overrides: { sessions: 5, watches: null } }
    const made = (await server.ask('POST', '/v2/instances', { body })).body
    assert.deepEqual([made.overrides, made.limits.watches], [{ sessions: 5, watches: 'unlimited' }, null])
    const path = `/v2/instances/${made.id}`
    const patch = (overrides: object | null) => server.ask('PATCH', path, { body: { overrides }, headers })
    const { body: more } = await patch({ held_locks: 0, waiters: 'unlimited' })
    assert.deepEqual(more.overrides, { sessions: 5, watches: 'unlimited', held_locks: 0, waiters: 'unlimited' })
    assert.deepEqual([more.limits.held_locks, more.limits.waiters, more.limits.sessions], [0, null, 5])
    const { body: fewer } = await patch({ held_locks: null, watches: null })
    assert.deepEqual(fewer.overrides, { sessions: 5, waiters: 'unlimited' })
    assert.deepEqual([fewer.limits.held_locks, fewer.limits.watches], [1_000, 50], 'what the unit buys')
    assert.deepEqual((await patch(fewer.overrides)).body.overrides, fewer.overrides, 'what is read can be sent')
    assert.deepEqual((await patch({})).body.overrides, fewer.overrides)
    const { body: none } = await patch(null)
    assert.deepEqual([none.overrides, none.limits.waiters], [{}, 1_000])
    for (const wrong of [{ sessions: 'none' }, { sessions: -1 }, { locks: 1 }])
      assert.deepEqual(code(await patch(wrong)), [400, 'invalid_request'], JSON.stringify(wrong))
    for (const field of ['name', 'plan', 'capacity_units'])
      assert.deepEqual(code(await server.ask('PATCH', path, { body: { [field]: null }, headers })), [
        400,
        'invalid_request',
      ])
  })
})

test('limits that rest on a plan without them can be taken away, and none be given', async () => {
  await withServer(async server => {
    const body = { name: 'red', plan: 'premium', capacity_units: 10, overrides: { sessions: 5, waiters: 6 } }
    const path = `/v2/instances/${(await server.ask('POST', '/v2/instances', { body })).body.id}`
    const patch = (change: object) => server.ask('PATCH', path, { body: change, headers })
    assert.equal((await patch({ plan: 'standard' })).body.limits.sessions, 2_000)
    assert.deepEqual(code(await patch({ overrides: { sessions: 7 } })), [400, 'invalid_request'])
    assert.deepEqual((await patch({ overrides: { sessions: null } })).body.overrides, { waiters: 6 })
    assert.equal((await patch({ plan: 'premium' })).body.limits.waiters, 6)
  })
})
