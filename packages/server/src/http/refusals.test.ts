/** What is refused or sent elsewhere before an operation is asked: trials without an effect, and paths that end in `/`. */
import assert from 'node:assert/strict'
import { once } from 'node:events'
import { test } from 'node:test'
import type { OperationFields } from '@holdfast/protocol/operation'
import { v1 } from '@holdfast/protocol/v1'
import { v2 } from '@holdfast/protocol/v2'
import { WebSocket } from 'ws'
import { type Answer, ROOT_KEY, withServer } from '../testing.ts'
import { refused } from './reply.ts'

const operations: OperationFields[] = [...Object.values(v1), ...Object.values(v2)]
const code = (answer: Answer) => [answer.status, answer.body?.errors?.[0].code]

test('a dry run is refused by every operation, and nothing has been done', async () => {
  await withServer(async server => {
    const dry = (value: string) => ({ headers: { 'ibm-api-dry-run': value } })
    for (const operation of operations) {
      const path = operation.path.replaceAll(/\{\w+\}/g, 'some-name')
      const { id } = operation
      assert.deepEqual(code(await server.ask(operation.method, path, dry('validate'))), [400, 'invalid_request'], id)
    }
    for (const value of ['mock', 'validate', 'no', '']) {
      const asked = { body: { ttl_seconds: 30 }, ...dry(value) }
      const refused = await server.ask('POST', '/v1/locks/a/acquire', asked)
      assert.deepEqual(refused.body.errors[0].target, { type: 'header', name: 'IBM-API-Dry-Run' }, value)
    }
    assert.equal((await server.ask('GET', '/v1/locks/a')).status, 404)
    await server.ask('PUT', '/v1/locks/kept', { body: { description: 'x' } })
    await server.ask('DELETE', '/v1/locks/kept', dry('mock'))
    assert.equal((await server.ask('GET', '/v1/locks/kept')).status, 200)
  })
})

test('a session that can remember no more requests is told what helps: waiting does not', () => {
  const { message, ...rest } = refused({ ok: false, code: 'quota_exceeded', limit: 'session_requests', max: 10_000 })
  assert.deepEqual(rest, { code: 'quota_exceeded', limit: 'session_requests', max: 10_000 })
  assert.match(message, /10000 request ids.*waiting does not help.*[Oo]pen a new session/)
  const other = refused({ ok: false, code: 'quota_exceeded', limit: 'sessions', max: 2 })
  assert.equal(other.message, 'The limit of 2 on `sessions` has been reached.')
})

test('a dry run opens no WebSocket', async () => {
  await withServer(async server => {
    const socket = new WebSocket(`${server.url.replace('http', 'ws')}/v2/connect`, {
      headers: { authorization: `Bearer ${ROOT_KEY}`, 'ibm-api-dry-run': 'validate' },
    })
    socket.on('error', () => {}) // told by the answer
    const [, response] = await once(socket, 'unexpected-response')
    assert.equal(response.statusCode, 400)
  })
})

test('a path that ends in `/` is answered with the one that does not, if there is one', async () => {
  await withServer(async server => {
    const moved = [
      ['GET', '/v2/locks/?limit=2&prefix=a%2F', '/v2/locks?limit=2&prefix=a%2F'],
      ['GET', '/v1/locks/a/', '/v1/locks/a'],
      ['PATCH', '/v2/locks/a%2F///', '/v2/locks/a%2F'],
      ['DELETE', '/v1/locks/a/', '/v1/locks/a'],
      ['POST', '/v1/locks/a/acquire/', '/v1/locks/a/acquire'],
      ['GET', '/v2/whoami/', '/v2/whoami'],
      ['GET', '/livez/', '/livez'],
      ['GET', '/docs/', '/docs'],
    ] as const
    for (const [method, path, to] of moved) {
      const { status, headers } = await server.ask(method, path)
      assert.deepEqual([status, headers.location], [301, to], path)
    }
    for (const path of ['/v2/nothing/', '//other.example/', '/v2//', '//', '/v1/'])
      assert.deepEqual(code(await server.ask('GET', path)), [404, 'not_found'], path)
    assert.deepEqual(code(await server.ask('GET', '/v2/locks/', { key: null })), [401, 'unauthenticated'])
  })
})

test('a name that ends in `/` is a name: percent-encoded, it leads nowhere else', async () => {
  await withServer(async server => {
    const granted = await server.ask('POST', '/v1/locks/a%2F/acquire', { body: { ttl_seconds: 30 } })
    assert.deepEqual([granted.status, granted.body.name], [200, 'a/'])
    assert.equal((await server.ask('GET', '/v1/locks/a%2F')).body.name, 'a/')
    assert.equal((await server.ask('GET', '/v1/locks/a')).status, 404)
  })
})
