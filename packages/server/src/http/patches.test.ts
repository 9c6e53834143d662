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
