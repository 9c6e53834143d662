/** What every answer has, whoever writes it: Node, the framework, the door of WebSockets or we. */
import assert from 'node:assert/strict'
import { once } from 'node:events'
import { connect } from 'node:net'
import { test } from 'node:test'
import { BODY_BYTES_MAX } from '@holdfast/protocol/limits'
import { container } from './container.ts'
import { Origins } from './origins.ts'
import { withDoors } from './testing.ts'

const HOST = 'Host: h\r\n'
const KEY = 'Authorization: Bearer root\r\n'
const BODY = 'Content-Type: application/json\r\nContent-Length: 2\r\n\r\n{}'
const SOCKET = `${HOST}Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: ${'A'.repeat(22)}==\r\n`

/** What is sent, and the status of the answer. */
const cases: readonly [number, string][] = [
  [200, `GET /v2/whoami HTTP/1.1\r\n${HOST}${KEY}`],
  [200, `GET /livez HTTP/1.0\r\n`],
  [200, `POST /v1/locks/a/acquire HTTP/1.1\r\n${HOST}${KEY}Expect: 100-continue\r\n${BODY}`],
  [204, `OPTIONS /v2/locks HTTP/1.1\r\n${HOST}Origin: http://h\r\nAccess-Control-Request-Method: GET\r\n`],
  [301, `GET /v2/locks/ HTTP/1.1\r\n${HOST}${KEY}`],
  [400, `GET /v2/locks/%ff%zz HTTP/1.1\r\n${HOST}${KEY}`],
  [400, `GET /livez HTTP/1.1\r\n`],
  [400, `POST /v1/locks/a/acquire HTTP/1.1\r\n${KEY}${BODY}`],
  [400, `GET /livez HTTP/1.1\r\n${HOST}Expect: something-else\r\n`],
  [400, 'nonsense\r\n'],
  [401, `GET /v2/whoami HTTP/1.1\r\n${HOST}`],
  [404, `GET /nothing HTTP/1.1\r\n${HOST}`],
  [405, `PROPFIND /v1/locks HTTP/1.1\r\n${HOST}${KEY}`],
  [
    413,
    `POST /v1/locks/a/acquire HTTP/1.1\r\n${HOST}${KEY}Content-Type: application/json\r\nContent-Length: ${BODY_BYTES_MAX + 1}\r\n`,
  ],
  [414, `GET /v1/locks/${'x'.repeat(8_000)} HTTP/1.1\r\n${HOST}${KEY}`],
  [415, `POST /v1/locks/a/acquire HTTP/1.1\r\n${HOST}${KEY}Content-Type: text/x\r\nContent-Length: 2\r\n\r\n{}`],
  [431, `GET /livez HTTP/1.1\r\n${HOST}x: ${'x'.repeat(20_000)}\r\n`],
  [101, `GET /v2/connect HTTP/1.1\r\n${SOCKET}${KEY}`],
  [400, `GET /v2/connect HTTP/1.1\r\n${SOCKET}${KEY}`.replace('Sec-WebSocket-Key', 'x')],
  [400, `GET /v2/connect HTTP/1.1\r\n${SOCKET}${KEY}`.replace('Version: 13', 'Version: 7')],
  [400, `GET /v2/connect HTTP/1.1\r\n${SOCKET}${KEY}API-Version: 1999-01-01\r\n`],
  [400, `GET /v2/connect HTTP/1.1\r\n${SOCKET}${KEY}Holdfast-Instance: NO\r\n`],
  [401, `GET /v2/connect HTTP/1.1\r\n${SOCKET}Authorization: Bearer nobody\r\n`],
  [403, `GET /v2/connect HTTP/1.1\r\n${SOCKET}${KEY}Origin: http://elsewhere\r\n`],
  [404, `GET /v2/elsewhere HTTP/1.1\r\n${SOCKET}${KEY}`],
  [405, `POST /v2/connect HTTP/1.1\r\n${SOCKET}${KEY}`],
]

/** As `sent`, and closes what is not closed by the other end. */
async function answered(url: string, text: string): Promise<{ status: number; head: string; body: string }> {
  const socket = connect(Number(new URL(url).port), '127.0.0.1')
  socket.on('error', () => {})
  socket.write(text.includes('\r\n\r\n') ? text : `${text}\r\n`)
  let all = ''
  const more = async () => {
    const [chunk] = await Promise.race([once(socket, 'data'), once(socket, 'close').then(() => [null])])
    if (chunk !== null) all += chunk
    return chunk !== null
  }
  while (await more()) {
    all = all.replace('HTTP/1.1 100 Continue\r\n\r\n', '')
    const [head = '', body] = all.split('\r\n\r\n')
    const [, length = '0'] = /^content-length: ([0-9]+)/im.exec(head) ?? []
    if (body !== undefined && Buffer.byteLength(body) >= Number(length)) break
  }
  socket.destroy()
  const [head = '', body = ''] = all.split('\r\n\r\n')
  return { status: Number(/^HTTP\/1\.1 ([0-9]{3})/.exec(head)?.[1]), head, body }
}

test('every answer carries its request id, and every refusal the container with it', async () => {
  await withDoors(async ({ listen, doors }) => {
    doors.origins = new Origins(['http://h'])
    const url = await listen()
    for (const [status, text] of cases) {
      const what = text.slice(0, 120)
      const answer = await answered(url, text)
      assert.equal(answer.status, status, `${what}: ${answer.head}`)
      const [, trace] = /^x-request-id: (.+)\r?$/im.exec(answer.head) ?? []
      assert.ok(trace, `${what}: ${answer.head}`)
      if (status >= 400) {
        const { errors, ...own } = JSON.parse(answer.body)
        assert.deepEqual([own.trace, typeof errors[0].message], [trace.trim(), 'string'], what)
      }
    }
  })
})

test('the door of WebSockets answers with the version, the correlation and the form that are asked for', async () => {
  await withDoors(async ({ listen, doors }) => {
    const url = await listen()
    const asked = 'X-Request-ID: mine\r\nX-Correlation-ID: ours\r\nIBM-API-Version: 2026-11-02\r\n'
    const opened = await answered(url, `GET /v2/connect HTTP/1.1\r\n${SOCKET}${KEY}${asked}`)
    assert.match(
      opened.head,
      /^HTTP\/1\.1 101 .*x-request-id: mine.*x-correlation-id: ours.*ibm-api-version: 2026-11-02/is,
    )
    const problem = 'Accept: text/html, Application/Problem+JSON;q=0.5\r\n'
    const refused = await answered(url, `GET /v2/connect HTTP/1.1\r\n${SOCKET}${problem}API-Version: never\r\n`)
    assert.match(refused.head, /^HTTP\/1\.1 400 Bad Request\r\ncontent-type: application\/problem\+json/)
    assert.deepEqual(JSON.parse(refused.body).errors[0].target, { type: 'header', name: 'API-Version' })
    doors.draining.isDraining = true
    const late = await answered(url, `GET /v2/connect HTTP/1.1\r\n${SOCKET}${KEY}`)
    assert.match(late.head, /^HTTP\/1\.1 503 .*retry-after: 1/is)
  })
})

test('what fails at the door of WebSockets for no reason of the caller is logged under its trace', async () => {
  await withDoors(async ({ listen, doors }) => {
    const failed: string[] = []
    doors.authenticate = () => Promise.reject(new Error('a bug'))
    doors.telemetry = { ...doors.telemetry, failed: trace => void failed.push(trace) }
    const answer = await answered(await listen(), `GET /v2/connect HTTP/1.1\r\n${SOCKET}${KEY}X-Request-ID: mine\r\n`)
    assert.deepEqual([answer.status, failed], [500, ['mine']])
  })
})

test('who has no operation left is refused early in the form that is asked for', async () => {
  await withDoors(async ({ listen, doors }) => {
    const error = { code: 'rate_limited', message: 'm', retry_after_ms: 1_000 } as const
    doors.exhausted.note({ authorization: 'Bearer root' }, error, doors.clock.hrtimeMs())
    const problem = 'Accept: application/problem+json\r\n'
    const { status, head, body } = await answered(await listen(), `GET /v2/locks HTTP/1.1\r\n${HOST}${KEY}${problem}`)
    assert.deepEqual([status, JSON.parse(body).title], [429, 'rate_limited'])
    assert.match(
      head,
      /^x-request-id: .*^content-type: application\/problem\+json|^content-type: application\/problem\+json.*^x-request-id: /ims,
    )
  })
})

test('a refused upgrade leaves no socket behind, though its client never closes', async () => {
  await withDoors(async ({ listen, app }) => {
    const url = await listen()
    const socket = connect({ port: Number(new URL(url).port), host: '127.0.0.1', allowHalfOpen: true })
    const [[peer]] = await Promise.all([once(app.server, 'connection'), once(socket, 'connect')])
    const closed = once(peer, 'close')
    socket.write(`GET /v2/elsewhere HTTP/1.1\r\n${SOCKET}\r\n`)
    socket.resume()
    await closed
    socket.destroy()
  })
})

test('a problem is sent to who names the type and does not weigh it 0', () => {
  const error = { code: 'not_found', message: 'm' } as const
  for (const [accept, isProblem] of [
    [undefined, false],
    ['*/*', false],
    ['application/json', false],
    ['application/problem+json', true],
    ['text/html, APPLICATION/Problem+JSON; q=0.1', true],
    ['application/problem+json;q=0', false],
    ['application/json, application/problem+json ; Q=0.000', false],
    ['application/problem+jsonx', false],
  ] as const) {
    const headers = accept === undefined ? {} : { accept }
    assert.equal(container(headers, error, 't').type.includes('problem'), isProblem, accept)
  }
})

test('an upload that breaks off is no failure of the server', async () => {
  await withDoors(async ({ listen, doors, app }) => {
    const failed: unknown[] = []
    doors.telemetry = { ...doors.telemetry, failed: (_trace, error) => void failed.push(error) }
    const url = await listen()
    for (const [path, head] of [
      ['/identity/token', 'Content-Type: application/x-www-form-urlencoded\r\n'],
      ['/v1/locks/a/acquire', `${KEY}Content-Type: application/json\r\n`],
    ] as const) {
      const socket = connect(Number(new URL(url).port), '127.0.0.1')
      const asked = once(app.server, 'request')
      socket.write(`POST ${path} HTTP/1.1\r\n${HOST}${head}Content-Length: 100\r\n\r\n{`)
      const [request] = await asked
      const closed = new Promise(resolve => request.once('close', resolve))
      socket.resetAndDestroy()
      await closed
    }
    await new Promise(resolve => setImmediate(resolve))
    assert.deepEqual(failed, [])
  })
})
