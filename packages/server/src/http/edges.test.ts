import assert from 'node:assert/strict'
import { spawnSync } from 'node:child_process'
import { once } from 'node:events'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { get } from 'node:https'
import { connect } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { text } from 'node:stream/consumers'
import { test } from 'node:test'
import { AUTHORIZATION_CHARS_MAX, CONNECTIONS_MAX, TOKEN_CHARS_MAX, WATCHES_MAX } from '@holdfast/protocol/limits'
import { WebSocket } from 'ws'
import { Authority, type Pair } from '../../../../test/harness/certificates.ts'
import { ROOT_KEY, type TestServer, withServer } from '../testing.ts'
import { WatchCount } from './watch-count.ts'

test('an instance has as many watches as it may, and not one more; a closed one makes room', () => {
  const watches = new WatchCount()
  for (let opened = 0; opened < WATCHES_MAX; opened++) assert.ok(watches.open('a'))
  assert.equal(watches.open('a'), false)
  assert.ok(watches.open('b'))
  watches.close('a')
  assert.ok(watches.open('a'))
  assert.equal(watches.open('a'), false)
})

test('the sockets, heads and slow requests of a server have their limits', async () => {
  await withServer(async ({ app }) => {
    const { server } = app
    assert.equal(server.maxConnections, CONNECTIONS_MAX)
    assert.deepEqual([server.headersTimeout, server.requestTimeout, server.keepAliveTimeout], [10_000, 30_000, 75_000])
  })
})

test('beyond the last socket the next is turned away, and the others go on', async () => {
  await withServer(async server => {
    server.app.server.maxConnections = 2
    const port = Number(new URL(server.url).port)
    const sockets = [connect(port, '127.0.0.1'), connect(port, '127.0.0.1')]
    await Promise.all(sockets.map(socket => once(socket, 'connect')))
    const third = connect(port, '127.0.0.1')
    third.on('error', () => {})
    await once(third, 'close')
    sockets[0]!.write('GET /livez HTTP/1.1\r\nhost: x\r\n\r\n')
    const [data] = await once(sockets[0]!, 'data')
    assert.match(String(data), /^HTTP\/1\.1 200/)
    for (const socket of sockets) socket.destroy()
  })
})

test('a head that trickles in is cut off with an answer', async () => {
  await withServer(async server => {
    // The limit itself is seconds; the check that enforces it runs every two.
    server.app.server.headersTimeout = 50
    server.app.server.requestTimeout = 100
    const socket = connect(Number(new URL(server.url).port), '127.0.0.1')
    socket.write('GET /livez HTTP/1.1\r\nhost: x\r\nx-slow: ')
    const [data] = await once(socket, 'data')
    assert.match(String(data), /^HTTP\/1\.1 408 /)
    await once(socket, 'close')
  })
})

test('with a certificate it speaks TLS, over REST and the WebSocket', async t => {
  const directory = mkdtempSync(join(tmpdir(), 'holdfast-tls-'))
  t.after(() => rmSync(directory, { recursive: true }))
  const [key, certificate] = [join(directory, 'key.pem'), join(directory, 'cert.pem')]
  const made = spawnSync('openssl', [
    'req',
    '-x509',
    '-newkey',
    'ec',
    '-pkeyopt',
    'ec_paramgen_curve:prime256v1',
    '-nodes',
    '-days',
    '1',
    '-subj',
    '/CN=localhost',
    '-keyout',
    key,
    '-out',
    certificate,
  ])
  if (made.error) return t.skip('openssl is not installed')
  assert.equal(made.status, 0, String(made.stderr))
  const act = async (server: { url: string }) => {
    assert.match(server.url, /^https:/)
    const request = get(`${server.url}/v2/whoami`, {
      rejectUnauthorized: false,
      agent: false,
      // What is only offered is not taken here either.
      headers: { authorization: `Bearer ${ROOT_KEY}`, connection: 'upgrade', upgrade: 'h2c' },
    })
    const [response] = await once(request, 'response')
    response.resume()
    assert.equal(response.statusCode, 200)
    const socket = new WebSocket(`${server.url.replace('https', 'wss')}/v2/connect`, {
      rejectUnauthorized: false,
      headers: { authorization: `Bearer ${ROOT_KEY}` },
    })
    await once(socket, 'open')
    socket.send('[{"type":"hello"}]')
    const [frame] = await once(socket, 'message')
    assert.equal(JSON.parse(String(frame))[0].type, 'welcome')
    socket.terminate()
  }
  await withServer(act, { args: ['--tls-cert', certificate, '--tls-key', key] })
})

test('a thousand requests that are not valid leave the server as it was', async () => {
  await withServer(async server => {
    const noise = [
      '{',
      '[]',
      '{"ttl_seconds":-1}',
      '{"holder":"\\ud800"}',
      '{"__proto__":null}',
      '"x"',
      '{"metadata":{"a":1e999}}',
    ]
    for (let round = 0; round < 150; round++) {
      const answers = await Promise.all(noise.map(raw => server.ask('POST', '/v1/locks/a/renew', { raw })))
      assert.ok(answers.every(({ status }) => status === 400))
    }
    assert.equal((await server.ask('GET', '/v1/locks')).body.locks.length, 0)
    assert.equal((await server.ask('GET', '/readyz')).status, 200)
  })
})

test('both doors take a credential of the same length, and not one of a character more', async () => {
  const longest = AUTHORIZATION_CHARS_MAX - 'Bearer '.length
  assert.ok(TOKEN_CHARS_MAX <= longest)
  for (const [chars, fits] of [
    [TOKEN_CHARS_MAX, true],
    [longest, true],
    [longest + 1, false],
  ] as const) {
    const key = 'k'.repeat(chars)
    const act = async (server: TestServer) => {
      assert.equal((await server.ask('GET', '/v2/whoami', { key })).status, fits ? 200 : 401, `REST, ${chars}`)
      const socket = new WebSocket(`${server.url.replace('http', 'ws')}/v2/connect`)
      await once(socket, 'open')
      socket.send(JSON.stringify([{ type: 'hello', authorization: `Bearer ${key}` }]))
      const [frame] = await once(socket, 'message')
      assert.equal(JSON.parse(String(frame))[0].type, fits ? 'welcome' : 'reply', `hello, ${chars}`)
      socket.terminate()
    }
    await withServer(act, { env: { HOLDFAST_ROOT_KEY: key } })
  }
})

test('a client certificate of an authority that only has the name of ours is let pass, or refused in words that say so', async t => {
  const directory = mkdtempSync(join(tmpdir(), 'holdfast-tls-'))
  t.after(() => rmSync(directory, { recursive: true }))
  const file = (name: string, text: string) => {
    writeFileSync(join(directory, name), text)
    return join(directory, name)
  }
  const statusWith = async (url: string, { certificate: cert, key }: Pair) => {
    const headers = { authorization: `Bearer ${ROOT_KEY}` }
    const tls = { rejectUnauthorized: false, agent: false, maxVersion: 'TLSv1.2', cert, key } as const
    const [response] = await once(get(`${url}/v2/whoami`, { ...tls, headers }), 'response')
    return { status: response.statusCode, body: await text(response) }
  }
  for (const hasKeyIds of [true, false]) {
    const ours = new Authority('clients', { hasKeyIds })
    const own = ours.issue('holdfast')
    const args = ['--tls-cert', file('cert.pem', own.certificate), '--tls-key', file('key.pem', own.key)]
    const act = async ({ url }: TestServer) => {
      for (const good of [ours, new Authority('strangers')])
        assert.equal((await statusWith(url, good.issue('worker'))).status, 200)
      const { status, body } = await statusWith(url, new Authority('clients', { hasKeyIds }).issue('worker'))
      // With ids of its keys, as authorities have them (RFC 5280), it is known for another at once; else Node ends the connection.
      if (hasKeyIds) return assert.equal(status, 200)
      assert.equal(status, 400, 'Node has been mended: let the words go')
      assert.match(body, /client certificate .* was not signed by it/)
    }
    await withServer(act, { args: [...args, '--client-ca', file('ca.pem', ours.certificate)] })
  }
})
