/** Requests as other clients write them: with an upgrade that is only offered, with the whole URL, and with half a body read. */
import assert from 'node:assert/strict'
import { once } from 'node:events'
import { connect } from 'node:net'
import { test } from 'node:test'
import { originForm } from './names.ts'
import { sent, withDoors } from './testing.ts'

const OFFER = 'Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABkAAQAoAAA\r\n'

function message(line: string, { headers = '', body = '' }: { headers?: string; body?: string } = {}): string {
  const length = body === '' ? '' : `Content-Type: application/json\r\nContent-Length: ${body.length}\r\n`
  return `${line} HTTP/1.1\r\nHost: h\r\nAuthorization: Bearer root\r\n${length}${headers}\r\n${body}`
}

function statusesIn(answers: string): number[] {
  return [...answers.matchAll(/HTTP\/1\.1 ([0-9]{3}) /g)].map(([, status]) => Number(status))
}

/** On one connection, each when the answer before is whole. */
async function inTurn(url: string, messages: readonly string[]): Promise<string> {
  const socket = connect(Number(new URL(url).port), '127.0.0.1')
  const ended = new AbortController()
  socket.on('close', () => ended.abort())
  let all = ''
  for (const text of messages) {
    socket.write(text)
    let answer = ''
    while (!isWhole(answer)) answer += String((await once(socket, 'data', ended))[0])
    all += answer
  }
  socket.destroy()
  return all
}

function isWhole(answer: string): boolean {
  const [head = '', body] = answer.split('\r\n\r\n')
  const [, length] = /^content-length: ([0-9]+)/im.exec(head) ?? []
  return body !== undefined && Buffer.byteLength(body) >= Number(length ?? 0)
}

const CLOSE = { headers: 'Connection: close\r\n' }

test('a request that offers another protocol than WebSocket is answered as if it did not', async () => {
  await withDoors(async ({ listen }) => {
    const answers = await inTurn(await listen(), [
      message('GET /v2/whoami', { headers: OFFER }),
      message('POST /v1/locks/orders/acquire', { headers: OFFER, body: '{"ttl_seconds":30}' }),
      message('GET /v2/whoami'),
    ])
    assert.deepEqual(statusesIn(answers), [200, 200, 200], answers)
    assert.match(answers, /"name":"orders"/)
  })
})

test('the name of a lock is the same in a target that is a whole URL', async () => {
  await withDoors(async ({ listen }) => {
    const url = await listen()
    const first = await sent(url, message('POST http://h:1/v1/locks/orders/acquire', { ...CLOSE, body: '{}' }))
    assert.deepEqual(statusesIn(first), [200], first)
    assert.match(first, /"name":"orders"/)
    const second = await sent(url, message('POST /v1/locks/orders/acquire', { ...CLOSE, body: '{}' }))
    assert.deepEqual(statusesIn(second), [409], second)
  })
})

test('only scheme and host are cut off a target', () => {
  for (const [target, expected] of [
    ['/v1/locks/a', '/v1/locks/a'],
    ['http://h/v1/locks/a?x=http://y/', '/v1/locks/a?x=http://y/'],
    ['HTTPS://[::1]:7420/v1', '/v1'],
    ['http://h', '/'],
    ['http://h?limit=1', '/?limit=1'],
    ['//h/v1', '//h/v1'],
    ['*', '*'],
  ] as const)
    assert.equal(originForm(target), expected)
})

test('what nobody takes is refused by its path and method, whatever the body is said to be', async () => {
  await withDoors(async ({ listen, app }) => {
    const url = await listen()
    const asked = async (method: string, path: string, headers = '') => {
      const answer = await sent(url, message(`${method} ${path}`, { headers: `Connection: close\r\n${headers}` }))
      const [, allowed] = /^allow: (.*)\r$/im.exec(answer) ?? []
      assert.match(answer, /^x-request-id: /im, answer)
      return [...statusesIn(answer), allowed]
    }
    // It demands a `Content-Type` of its own.
    for (const method of ['QUERY', 'PROPFIND', 'TRACE']) {
      assert.deepEqual(await asked(method, '/v1/locks/a/acquire'), [405, 'POST'], method)
      assert.deepEqual(await asked(method, '/livez'), [405, 'GET, HEAD'], method)
      assert.deepEqual(await asked(method, '/identity/token'), [405, 'POST'], method)
      assert.deepEqual(await asked(method, '/broker/v2/catalog'), [405, 'GET'], method)
      assert.deepEqual(await asked(method, '/v1/nothing'), [404, undefined], method)
    }
    for (const [method, path, status] of [
      ['POST', '/v1/nothing', 404],
      ['POST', '/v1/locks/a', 405],
      ['POST', '/livez', 405],
      ['PUT', '/identity/token', 405],
      ['POST', '/broker/v2/catalog', 405],
      ['POST', '/broker/nothing', 404],
    ] as const)
      for (const type of ['application/json', 'text/x-unknown', 'no type at all']) {
        const headers = { authorization: 'Bearer root', 'content-type': type }
        const answer = await app.inject({ method, url: path, headers, payload: '{' })
        assert.equal(answer.statusCode, status, `${method} ${path} ${type}`)
        const own = path.startsWith('/broker') ? 'error' : 'trace'
        assert.ok(own in answer.json(), answer.body)
      }
    assert.equal((await app.inject({ method: 'POST', url: '/v1/nothing', payload: '{' })).statusCode, 401)
  })
})

test('the rest of a body that was not waited for is not taken for the next request', async () => {
  await withDoors(async ({ listen }) => {
    const url = await listen()
    const body = `${message('GET /v2/whoami')}${'x'.repeat(100_000)}`
    const whole = message('POST /v1/nothing', { body })
    const half = whole.length - body.length + 10
    const answers = await inTurn(url, [whole.slice(0, half), whole.slice(half) + message('GET /v1/locks')])
    assert.deepEqual(statusesIn(answers), [404, 200], answers)
    assert.match(answers, /"locks":\[\]/)
  })
})
