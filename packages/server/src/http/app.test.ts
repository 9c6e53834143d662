import assert from 'node:assert/strict'
import { once } from 'node:events'
import { connect } from 'node:net'
import { test } from 'node:test'
import { gzipSync } from 'node:zlib'
import { BODY_BYTES_MAX, METADATA_BYTES_MAX, VALUE_BYTES_MAX } from '@holdfast/protocol/limits'
import type { OperationFields } from '@holdfast/protocol/operation'
import { v1 } from '@holdfast/protocol/v1'
import { v2 } from '@holdfast/protocol/v2'
import { type Answer, type Ask, ROOT_KEY, type TestServer, withServer } from '../testing.ts'
import { HEADER_BYTES_MAX, PATH_BYTES_MAX } from './app.ts'

const operations: OperationFields[] = [...Object.values(v1), ...Object.values(v2)]
const pathOf = (operation: OperationFields) => operation.path.replaceAll(/\{\w+\}/g, 'some-name')
const first = (answer: Answer) => [answer.status, answer.body.errors[0].code]
const invalid = [400, 'invalid_request']

const proxied = { args: ['--trusted-proxies', '127.0.0.1'] }

test('every operation refuses who has no credential or a wrong one, and says how to authenticate', async () => {
  await withServer(async server => {
    const basic = `Basic ${Buffer.from('any:wrong').toString('base64')}`
    let guesses = 1
    for (const operation of operations) {
      for (const options of [
        { key: null },
        { key: 'wrong-wrong-wrong-wrong' },
        { key: null, headers: { authorization: basic } },
      ] as Ask[]) {
        // From another address each time: so many guesses from one would be told to wait.
        const headers = { ...options.headers, 'x-forwarded-for': `2001:db8:0:${(guesses++).toString(16)}::1` }
        const refused = await server.ask(operation.method, pathOf(operation), { ...options, headers })
        assert.deepEqual(first(refused), [401, 'unauthenticated'], operation.id)
        assert.match(refused.headers['www-authenticate'] ?? '', /Bearer/)
      }
    }
    const known = `Basic ${Buffer.from(`any:${ROOT_KEY}`).toString('base64')}`
    assert.equal((await server.ask('GET', '/v2/whoami', { key: null, headers: { authorization: known } })).status, 200)
  }, proxied)
})

test('every operation with a body refuses a field that it does not know, a body that is no object, and none where one is needed', async () => {
  await withServer(async server => {
    for (const operation of operations.filter(({ body }) => body)) {
      for (const body of [{ no_such_field: 1 }, [], 'text', 7, null]) {
        assert.deepEqual(
          first(await server.ask(operation.method, pathOf(operation), { body })),
          invalid,
          `${operation.id} ${JSON.stringify(body)}`,
        )
      }
      for (const raw of ['{"__proto__":{"a":1}}', '{"constructor":{"prototype":1}}', '{"toString":1}']) {
        assert.deepEqual(
          first(await server.ask(operation.method, pathOf(operation), { raw })),
          invalid,
          `${operation.id} ${raw}`,
        )
      }
    }
    for (const operation of operations.filter(({ body, method }) => !body && method !== 'GET')) {
      assert.deepEqual(
        first(await server.ask(operation.method, pathOf(operation), { body: {} })),
        invalid,
        operation.id,
      )
    }
  })
})

test('every operation refuses a query parameter that it does not know', async () => {
  await withServer(async server => {
    for (const operation of operations) {
      assert.deepEqual(
        first(await server.ask(operation.method, `${pathOf(operation)}?no_such=1`)),
        invalid,
        operation.id,
      )
    }
    for (const query of [
      'limit=0',
      'limit=1001',
      'limit=x',
      'limit=1.5',
      'limit=',
      'limit=1&limit=2',
      'prefix=%ff',
      'start=',
      '__proto__=1',
      'prefix=a%00',
    ]) {
      assert.deepEqual(first(await server.ask('GET', `/v2/locks?${query}`)), invalid, query)
    }
    for (const query of ['limit=1', 'limit=1000', 'prefix=a+b%2F', ''])
      assert.equal((await server.ask('GET', `/v2/locks?${query}`)).status, 200, query)
  })
})

test('a path that is known answers 405 with its methods to others, an unknown one 404', async () => {
  await withServer(async server => {
    const refused = await server.ask('PATCH', '/v1/locks/a')
    assert.deepEqual([...first(refused), refused.headers.allow], [405, 'method_not_allowed', 'PUT, GET, DELETE'])
    for (const path of ['/v1/nothing', '/v1/locks/a/b', '/v3/locks', '/nothing']) {
      assert.deepEqual(first(await server.ask('GET', path)), [404, 'not_found'], path)
    }
    assert.deepEqual(first(await server.ask('GET', '/v1/nothing', { key: null })), [401, 'unauthenticated'])
  })
})

test('a path of PATH_BYTES_MAX bytes is looked at, one of a byte more is too long', async () => {
  await withServer(async server => {
    const path = (bytes: number) => `/v1/locks/${'a'.repeat(bytes - '/v1/locks/'.length)}`
    assert.deepEqual(first(await server.ask('GET', path(PATH_BYTES_MAX))), invalid)
    assert.deepEqual(first(await server.ask('GET', path(PATH_BYTES_MAX + 1))), [414, 'path_too_long'])
  })
})

test('names are taken from the path exactly', async () => {
  await withServer(async server => {
    const names = [
      'a/b',
      'a%b',
      '%2F',
      '...',
      'a/../b',
      'a?b#c',
      'ünïcode/名前',
      '😀',
      ' ',
      'a b',
      '"quoted"',
      '\\',
      'a;b',
      'a:b',
      '__proto__',
      'constructor',
      'é'.repeat(128),
      'x'.repeat(256),
    ]
    for (const name of names) {
      const path = `/v1/locks/${encodeURIComponent(name)}`
      const granted = await server.ask('POST', `${path}/acquire`, { body: { holder: 'x' } })
      assert.deepEqual([granted.status, granted.body.name], [200, name])
      assert.equal((await server.ask('GET', path)).body.name, name)
    }
    assert.equal((await server.ask('GET', '/v1/locks?limit=1000')).body.locks.length, names.length)
    // URL libraries fold dot segments away before they send, so this needs a client that does not.
    const head = `host: x\r\nauthorization: Bearer ${ROOT_KEY}\r\nconnection: close\r\n`
    for (const dots of ['..', '%2e%2E', '.']) {
      assert.match(
        await raw(server, `POST /v1/locks/${dots}/acquire HTTP/1.1\r\n${head}content-length: 0\r\n\r\n`),
        /^HTTP\/1\.1 (200 .*"name":"\.\.?"|409)/s,
      )
    }
    // `a` and `a/b` are unrelated.
    assert.equal((await server.ask('GET', '/v1/locks/a')).status, 404)
    for (const bad of [
      '%00',
      'a%0Ab',
      '%7F',
      '%C2%80',
      '%ff',
      '%E0%A4%A',
      '%',
      '%zz',
      '%ED%A0%80',
      encodeURIComponent('é'.repeat(129)),
      'x'.repeat(257),
      '',
    ]) {
      const refused = await server.ask('POST', `/v1/locks/${bad}/acquire`, { body: {} })
      assert.deepEqual(first(refused), invalid, bad)
    }
  })
})

test('a body has the right type, size and form', async () => {
  await withServer(async server => {
    const send = (raw: string | Buffer, headers: Record<string, string> = {}) =>
      server.ask('POST', '/v1/locks/a/acquire', { raw, headers })
    assert.deepEqual(first(await send('a=b', { 'content-type': 'application/x-www-form-urlencoded' })), [
      415,
      'unsupported_media_type',
    ])
    assert.deepEqual(first(await send('{}', { 'content-type': 'text/plain' })), [415, 'unsupported_media_type'])
    assert.equal((await send('{}', { 'content-type': 'application/json; charset=utf-8' })).status, 200)
    for (const raw of ['{', '{"a":', 'nope', '{"holder":"x",}', '[[[[', '{}{}']) {
      const refused = await send(raw)
      assert.deepEqual(first(refused), invalid)
      assert.match(refused.body.errors[0].message, /not valid JSON/)
    }
    assert.match((await send(Buffer.from([0x7b, 0x22, 0xff, 0x22, 0x7d]))).body.errors[0].message, /UTF-8/)
    for (const encoding of ['gzip', 'br', 'identity, gzip']) {
      const packed = await send(gzipSync('{}'), { 'content-encoding': encoding })
      assert.deepEqual(first(packed), [415, 'unsupported_media_type'])
      assert.deepEqual([packed.headers['accept-encoding'], /not compressed/.test(packed.text)], ['identity', true])
    }
    assert.equal((await send('{"holder":"y"}', { 'content-encoding': 'Identity' })).status, 409)
    const padded = (bytes: number) => `{"holder":"x"${' '.repeat(bytes - '{"holder":"x"}'.length)}}`
    assert.deepEqual(first(await send(padded(BODY_BYTES_MAX))), [409, 'lock_held'])
    assert.deepEqual(first(await send(padded(BODY_BYTES_MAX + 1))), [413, 'body_too_large'])
    assert.deepEqual(first(await send('['.repeat(BODY_BYTES_MAX / 2) + ']'.repeat(BODY_BYTES_MAX / 2))), invalid)
  })
})

test('values beyond their limits are refused, at their limits they are not, and the field is named', async () => {
  await withServer(async server => {
    const session = await server.openSession()
    const cases: { path: string; field: string; good: unknown[]; bad: unknown[]; rest?: object }[] = [
      {
        path: '/v1/locks/{}/acquire',
        field: 'ttl_seconds',
        good: [1, 86_400],
        bad: [0, -1, 86_401, 1.5, '5', null, 1e300],
      },
      { path: '/v1/locks/{}/acquire', field: 'wait_seconds', good: [0, 60], bad: [-1, 61, true] },
      { path: '/v1/locks/{}/acquire', field: 'priority', good: [-100, 100], bad: [-101, 101] },
      {
        path: '/v1/locks/{}/acquire',
        field: 'holder',
        good: ['x', 'x'.repeat(128), '😀'.repeat(128)],
        bad: ['', 'x'.repeat(129), 'a\nb', 'a\u0000', 'a\ud800', 7],
      },
      {
        path: '/v1/locks/{}/acquire',
        field: 'metadata',
        good: [{}, { a: 'x'.repeat(METADATA_BYTES_MAX - 8) }, { constructor: 1 }],
        bad: [{ a: 'x'.repeat(METADATA_BYTES_MAX - 7) }, { a: 'x\ud800' }, [], 'x', nested(9)],
      },
      { path: '/v1/locks/{}/acquire', field: 'preempt', good: [true, false], bad: ['true', 1] },
      { path: '/v1/locks/{}/release', field: 'lock_id', good: [], bad: [null, 1, {}, '', 'ä', 'x'.repeat(301)] },
      { path: '/v2/sessions', field: 'ttl_ms', good: [500, 86_400_000], bad: [499, 86_400_001, 2 ** 53, -500] },
      {
        path: '/v2/sessions',
        field: 'labels',
        good: [labels(16), { ['k'.repeat(64)]: 'v'.repeat(128) }],
        bad: [labels(17), { ['k'.repeat(65)]: 'v' }, { k: 'v'.repeat(129) }, { k: 1 }, { 'a b': 'c' }],
      },
      { path: '/v2/locks/{}/acquire', field: 'wait_ms', good: [0, 60_000], bad: [60_001, -1] },
      {
        path: '/v2/locks/{}/acquire',
        field: 'permits',
        good: [1, 1_000],
        bad: [0, 1_001],
        rest: { mode: 'permits', limit: 1_000 },
      },
      { path: '/v2/locks/{}/acquire', field: 'mode', good: ['shared'], bad: ['Shared', 'write', 1] },
      {
        path: '/v2/locks/{}/acquire',
        field: 'value',
        good: ['', 'x'.repeat(VALUE_BYTES_MAX), 'a\nb'],
        bad: ['é'.repeat(VALUE_BYTES_MAX / 2 + 1), 'x\udfff'],
      },
      { path: '/v2/locks/{}/acquire', field: 'request_id', good: ['x'.repeat(128)], bad: ['', 'x'.repeat(129), 5] },
      { path: '/v2/locks/{}/validate', field: 'token', good: [], bad: [0, -1, 1.5, 2 ** 53, '1'] },
      { path: '/v2/acquire', field: 'locks', good: [names(64)], bad: [names(65), [], 'a'] },
    ]
    let number = 0
    for (const { path, field, good, bad, rest } of cases) {
      for (const [values, fits] of [
        [good, true],
        [bad, false],
      ] as const) {
        for (const value of values) {
          const answer = await server.ask('POST', path.replace('{}', `lock-${number++}`), {
            session: session.handle,
            body: { ...rest, [field]: value },
          })
          const what = `${path} ${field} = ${JSON.stringify(value)?.slice(0, 60)} → ${answer.text.slice(0, 300)}`
          assert.equal(answer.status < 300, fits, what)
          if (fits) continue
          assert.deepEqual(first(answer), invalid, what)
          assert.equal(answer.body.errors[0].target.name.split('.')[0], field, what)
          assert.match(answer.body.errors[0].message, new RegExp(`\`${field}`), what)
        }
      }
    }
    const proto = await server.ask('POST', '/v1/locks/p/acquire', { raw: '{"metadata":{"a":{"__proto__":1}}}' })
    assert.equal(proto.body.errors[0].target.name, 'metadata')
  })
})

const labels = (count: number) => Object.fromEntries(Array.from({ length: count }, (_, index) => [`k${index}`, 'v']))
const names = (count: number) => Array.from({ length: count }, (_, index) => ({ name: `set-${count}-${index}` }))
const nested = (depth: number): object => (depth === 0 ? {} : { a: nested(depth - 1) })

test('a request id is taken if it is well-formed, else replaced; a correlation id is sent back', async () => {
  await withServer(async server => {
    const uuid = /^[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$/
    const send = async (id: string, headers: Record<string, string> = {}) =>
      (await server.ask('GET', '/v2/whoami', { headers: { 'x-request-id': id, ...headers } })).headers
    assert.equal((await send('my id, 7'))['x-request-id'], 'my id, 7')
    assert.equal((await send('x'.repeat(1_024)))['x-request-id'], 'x'.repeat(1_024))
    for (const bad of ['x'.repeat(1_025), 'a/b', 'ä']) assert.match((await send(bad))['x-request-id'] ?? '', uuid)
    assert.equal((await send('a', { 'x-correlation-id': 'c-1' }))['x-correlation-id'], 'c-1')
    assert.equal((await send('a'))['x-correlation-id'], undefined)
    assert.equal(
      (await server.ask('GET', '/v1/nothing', { headers: { 'x-request-id': 'trace-me' } })).body.trace,
      'trace-me',
    )
  })
})

test('a version is a date from the first one to today', async () => {
  await withServer(async server => {
    const today = new Date().toISOString().slice(0, 10)
    const tomorrow = new Date(Date.now() + 86_400_000).toISOString().slice(0, 10)
    const send = (headers: Record<string, string>) => server.ask('GET', '/v2/whoami', { headers })
    assert.equal((await send({})).headers['api-version'], '2026-11-01')
    assert.equal((await send({ 'ibm-api-version': today })).headers['ibm-api-version'], today)
    for (const version of ['2026-10-31', tomorrow, 'yesterday', '2026-11-31', '2026-1-1', '', '20261121']) {
      assert.deepEqual(first(await send({ 'api-version': version })), invalid, version)
    }
    const both = (version: string) => send({ 'api-version': today, 'ibm-api-version': version })
    assert.equal((await both(today)).headers['api-version'], today)
    assert.deepEqual(first(await both('2026-11-01')), invalid)
    // Whoever is turned away is told too.
    const headers = { 'api-version': today }
    const stranger = await server.ask('GET', '/v1/locks', { key: null, headers })
    assert.deepEqual([stranger.status, stranger.headers['api-version']], [401, today])
    const lost = await send({ ...headers, 'holdfast-instance': 'nowhere' })
    assert.deepEqual([lost.status, lost.headers['api-version']], [404, today])
    const unversioned = await server.ask('GET', '/v1/locks', { key: null, headers: { 'api-version': 'yesterday' } })
    assert.deepEqual([unversioned.status, unversioned.headers['api-version']], [401, undefined])
  })
})

test('errors come as problem+json to who asks for it', async () => {
  await withServer(async server => {
    const { headers, body } = await server.ask('GET', '/v1/locks/nowhere', {
      headers: { accept: 'application/problem+json' },
    })
    assert.match(headers['content-type'] ?? '', /^application\/problem\+json/)
    assert.deepEqual([body.status, body.title, body.errors[0].code], [404, 'not_found', 'not_found'])
  })
})

/** Sends bytes as they are and returns all that comes back until the server closes. */
async function raw(server: TestServer, ...parts: string[]): Promise<string> {
  const socket = connect(Number(new URL(server.url).port), '127.0.0.1')
  let received = ''
  socket.on('data', data => {
    received += data
  })
  // A server that cuts off may do so while we still write.
  socket.on('error', () => {})
  for (const part of parts) socket.write(part)
  await once(socket, 'close')
  return received
}

test('what is no HTTP, or too large a head, is answered and does no harm', async () => {
  await withServer(async server => {
    assert.match(await raw(server, 'nonsense\r\n\r\n'), /^HTTP\/1\.1 400 .*"invalid_request"/s)
    // Node counts the path, the names and the values, and refuses what has as many as are named.
    const counted = '/livez' + 'host' + 'x' + 'connection' + 'close' + 'x'
    const head = (bytes: number) =>
      `GET /livez HTTP/1.1\r\nhost: x\r\nconnection: close\r\nx: ${'a'.repeat(bytes - counted.length)}\r\n\r\n`
    assert.match(await raw(server, head(HEADER_BYTES_MAX - 1)), /^HTTP\/1\.1 200 /)
    assert.match(await raw(server, head(HEADER_BYTES_MAX)), /^HTTP\/1\.1 431 .*"headers_too_large"/s)
    assert.match(
      await raw(
        server,
        `GET /v1/locks/\xff HTTP/1.1\r\nhost: x\r\nconnection: close\r\nauthorization: Bearer ${ROOT_KEY}\r\n\r\n`,
      ),
      /^HTTP\/1\.1 40/,
    )
    assert.equal((await server.ask('GET', '/livez')).status, 200)
  })
})

test('a client that goes away while it waits gives its place up', async () => {
  await withServer(async server => {
    await server.ask('POST', '/v1/locks/a/acquire', { body: {} })
    const socket = connect(Number(new URL(server.url).port), '127.0.0.1')
    const body = '{"wait_seconds":60}'
    socket.write(
      `POST /v1/locks/a/acquire HTTP/1.1\r\nhost: x\r\nauthorization: Bearer ${ROOT_KEY}\r\ncontent-type: application/json\r\ncontent-length: ${body.length}\r\n\r\n${body}`,
    )
    const waiters = async () => (await server.ask('GET', '/v1/locks/a')).body.waiters
    while ((await waiters()) === 0);
    socket.destroy()
    while ((await waiters()) > 0);
  })
})
