/** What is refused or sent elsewhere before an operation is asked: trials without an effect, and paths that end in `/`. */
import assert from 'node:assert/strict'
import { once } from 'node:events'
import { test } from 'node:test'
import type { OperationFields } from '@holdfast/protocol/operation'
import { v1 } from '@holdfast/protocol/v1'
import { v2 } from '@holdfast/protocol/v2'
import { WebSocket } from 'ws'
import { type Answer, ROOT_KEY, withServer } from '../testing.ts'

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
