import assert from 'node:assert/strict'
import { test } from 'node:test'
import { v1 } from '@holdfast/protocol/v1'
import { v2 } from '@holdfast/protocol/v2'
import { ROOT_KEY, type TestServer, withServer } from '../testing.ts'

const open = (server: TestServer, path: string) => server.ask('GET', path, { key: null })

const openPaths = [
  '/livez',
  '/readyz',
  '/metrics',
  '/docs',
  '/docs/swagger-ui.css',
  '/docs/swagger-ui-bundle.js',
  '/docs/reference.js',
  '/docs/favicon-32x32.png',
  '/',
  '/v1/openapi.json',
  '/v2/openapi.json',
]

test('health, metrics, documents and pages need no credential', async () => {
  await withServer(async server => {
    for (const path of openPaths) {
      const answer = await open(server, path)
      assert.equal(answer.status, 200, path)
      assert.ok(answer.text.length > 0, path)
    }
  })
})

test('what needs no credential answers HEAD as GET, without the body, and names its methods to any other', async () => {
  await withServer(async server => {
    for (const path of openPaths) {
      const [got, head] = [await open(server, path), await server.ask('HEAD', path, { key: null })]
      assert.deepEqual([head.status, head.text], [200, ''], path)
      assert.equal(head.headers['content-type'], got.headers['content-type'])
      if (path !== '/metrics') assert.equal(head.headers['content-length'], got.headers['content-length'])
      for (const method of ['POST', 'PUT', 'PATCH', 'DELETE', 'OPTIONS']) {
        const { status, headers, body } = await server.ask(method, path, {
          key: null,
          ...(method === 'POST' && { raw: 'x' }),
        })
        assert.deepEqual([status, headers.allow, body.errors[0].code], [405, 'GET, HEAD', 'method_not_allowed'], path)
      }
    }
    assert.equal((await server.ask('HEAD', '/metrics', { key: null, headers: { via: '1.1 proxy' } })).status, 401)
  })
})

test('the pages load nothing from elsewhere', async () => {
  await withServer(async server => {
    for (const path of ['/', '/docs']) {
      const page = await open(server, path)
      assert.doesNotMatch(page.text, /(src|href)="(https?:)?\/\//)
      assert.match(page.headers['content-security-policy'] ?? '', /default-src 'none'/)
    }
  })
})

test('the documents are OpenAPI 3.1: every operation is there, every reference resolves', async () => {
  await withServer(async server => {
    for (const version of ['v1', 'v2']) {
      const { body } = await open(server, `/${version}/openapi.json`)
      assert.equal(body.openapi, '3.1.0')
      const ids = new Set<string>()
      for (const [path, item] of Object.entries<Record<string, never>>(body.paths)) {
        assert.ok(path.startsWith(`/${version}/`))
        for (const operation of Object.values<{
          operationId: string
          parameters: { name: string; in: string }[]
          responses: object
        }>(item)) {
          assert.ok(!ids.has(operation.operationId), operation.operationId)
          ids.add(operation.operationId)
          const inPath = operation.parameters.filter(parameter => parameter.in === 'path').map(({ name }) => name)
          assert.deepEqual(
            inPath,
            [...path.matchAll(/\{(\w+)\}/g)].map(([, name]) => name),
          )
          assert.ok(Object.keys(operation.responses).includes('401'))
        }
      }
      assert.equal(ids.size, Object.keys(version === 'v1' ? v1 : v2).length)
      for (const [, name] of JSON.stringify(body).matchAll(/"\$ref":"#\/components\/schemas\/(\w+)"/g)) {
        assert.ok(body.components.schemas[name ?? ''], name)
      }
    }
  })
})

test('without a credential the metrics are for this machine only, and a proxy on it stands for others', async () => {
  const asked = (server: TestServer, headers: Record<string, string>, key: string | null = null) =>
    server.ask('GET', '/metrics', { key, headers })
  const passedOn = [
    { 'x-forwarded-for': '192.0.2.1' },
    { 'x-forwarded-for': '127.0.0.1' },
    { forwarded: 'for=192.0.2.1' },
    { 'x-forwarded-proto': 'https' },
    { 'x-real-ip': '192.0.2.1' },
    { via: '1.1 proxy' },
    // A name that somebody else has made to mean this machine.
    { host: 'evil.example:7555' },
  ]
  for (const args of [[], ['--trusted-proxies', '127.0.0.0/8']])
    await withServer(
      async server => {
        assert.equal((await asked(server, {})).status, 200)
        for (const headers of passedOn) {
          const { status, text } = await asked(server, headers)
          assert.equal(status, 401, JSON.stringify(headers))
          assert.doesNotMatch(text, /holdfast_/)
          assert.equal((await asked(server, headers, ROOT_KEY)).status, 200)
        }
      },
      { args },
    )
  await withServer(async server => assert.equal((await asked(server, { via: '1.1 proxy' })).status, 200), {
    args: ['--open-metrics'],
  })
})

test('the metrics count what happens, and never name a lock', async () => {
  await withServer(async server => {
    const { body } = await server.ask('POST', '/v1/locks/secret-name/acquire', { body: {} })
    await server.ask('POST', '/v1/locks/secret-name/acquire', { body: {} })
    await server.ask('POST', '/v1/locks/secret-name/release', { body: { lock_id: body.lock_id } })
    await server.ask('POST', '/v1/locks/held/acquire', { body: {} })
    const { text, headers } = await open(server, '/metrics')
    assert.match(headers['content-type'] ?? '', /^text\/plain; version=0\.0\.4/)
    for (const line of [
      'holdfast_acquires_total{outcome="granted"} 2',
      'holdfast_acquires_total{outcome="lock_held"} 1',
      'holdfast_grants{shard="0"} 1',
      'holdfast_sessions{shard="0"} 1',
      'holdfast_waiters{shard="0"} 0',
      'holdfast_grants_ended_total{how="released"} 1',
      'holdfast_hold_seconds_count 1',
      'holdfast_wait_seconds_count 2',
      'holdfast_connections 0',
      'holdfast_watch_streams 0',
      'ibm_service_name="go-etcd-lock"',
    ]) {
      assert.ok(text.includes(line), line)
    }
    assert.match(text, /^ibm_go_etcd_lock_acquires_total\{.*ibm_ctype="public".*outcome="granted"\} 2$/m)
    assert.match(text, /^holdfast_batch_entries_count [1-9]/m)
    assert.match(text, /^holdfast_commit_seconds_count [1-9]/m)
    assert.match(text, /^nodejs_eventloop_lag_seconds /m)
    assert.ok(!text.includes('secret-name'))
  })
})

test('a server that stops is not ready, while what is in flight is answered', async () => {
  await withServer(async server => {
    await server.ask('POST', '/v1/locks/a/acquire', { body: {} })
    const waiting = fetch(`${server.url}/v1/locks/a/acquire`, {
      method: 'POST',
      headers: { authorization: 'Bearer the-root-key-of-these-tests', 'content-type': 'application/json' },
      body: '{"wait_seconds":60}',
    })
    while ((await server.ask('GET', '/v1/locks/a')).body.waiters === 0);
    const closed = server.close()
    const answered = await waiting
    assert.equal(answered.status, 503)
    // The body's shape is checked by its use here.
    assert.equal(((await answered.json()) as { errors: { code: string }[] }).errors[0]?.code, 'unavailable')
    await closed
    await assert.rejects(fetch(`${server.url}/livez`))
  })
})
