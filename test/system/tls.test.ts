/** TLS as clients and other servers meet it: versions, certificates that are replaced under open connections, and whom to trust. */
import assert from 'node:assert/strict'
import { once } from 'node:events'
import { copyFileSync, readFileSync, writeFileSync } from 'node:fs'
import { request } from 'node:https'
import { join } from 'node:path'
import { type TestContext, test } from 'node:test'
import { setTimeout as sleep } from 'node:timers/promises'
import { connect, type SecureVersion, type TLSSocket } from 'node:tls'
import { WebSocket } from 'ws'
import { Authority } from '../harness/certificates.ts'
import { cli } from '../harness/cli.ts'
import { startEtcd } from '../harness/etcd.ts'
import { freePort, temporaryFolder } from '../harness/process.ts'
import { rootKey, type Server, spawnServer } from '../harness/server.ts'

/** Of a server that is to be turned away by the others, and may get the only shard before it is asked. */
const STARTS_MAX = 12

type World = { folder: string; ca: string; certs: string; flags: string[] }

async function world(t: TestContext): Promise<World> {
  const folder = temporaryFolder('tls')
  t.after(() => folder.remove())
  const certs = join(folder.path, 'certs')
  await devCerts(certs)
  const flags = ['--tls-cert', join(certs, 'server.pem'), '--tls-key', join(certs, 'server-key.pem')]
  return { folder: folder.path, ca: readFileSync(join(certs, 'ca.pem'), 'utf8'), certs, flags }
}

async function devCerts(certs: string): Promise<string> {
  const made = await cli(['dev-certs', '--out', certs, '--hosts', 'holdfast.example.org,10.0.0.7'], { url: '' })
  assert.equal(made.code, 0, made.stderr)
  return made.stdout
}

async function serve(t: TestContext, { folder, ca, flags }: World, more: string[] = []): Promise<Server> {
  const port = await freePort()
  const server = await spawnServer({ data: join(folder, String(port)), port, flags: [...flags, ...more] })
  t.after(() => server.kill())
  for (let tries = 0; tries < 600; tries++) {
    if (server.child.exitCode !== null) throw new Error(server.output())
    const status = await ask(server, ca, '/readyz').catch(() => null)
    if (status?.status === 200) return server
    await sleep(50)
  }
  throw new Error(`not ready: ${server.output()}`)
}

/** On a connection of its own. */
async function ask(
  { port }: { port: number },
  ca: string,
  path: string,
  body?: object,
  client: { cert: string; key: string } | null = null,
): Promise<{ status: number; body: string }> {
  const headers = {
    ...(client === null && { authorization: `Bearer ${rootKey}` }),
    ...(body && { 'content-type': 'application/json' }),
  }
  const method = body ? 'POST' : 'GET'
  const asked = request({ host: '127.0.0.1', port, path, method, ca, agent: false, headers, ...client })
  asked.end(body && JSON.stringify(body))
  const [response] = await once(asked, 'response')
  let text = ''
  for await (const chunk of response) text += chunk
  return { status: response.statusCode, body: text }
}

async function shake({ port }: Server, ca: string, version?: SecureVersion): Promise<TLSSocket> {
  const versions = version && { minVersion: version, maxVersion: version }
  const socket = connect({ host: '127.0.0.1', port, ca, ciphers: 'DEFAULT@SECLEVEL=0', ...versions })
  await once(socket, 'secureConnect')
  return socket
}

async function fingerprintOf(server: Server, ca: string): Promise<string> {
  const socket = await shake(server, ca)
  const { fingerprint256 } = socket.getPeerCertificate()
  socket.destroy()
  return fingerprint256
}

test('TLS 1.2 and 1.3 are spoken, 1.1 and 1.0 are not, nor is plain HTTP', async t => {
  const own = await world(t)
  const server = await serve(t, own)
  for (const version of ['TLSv1.2', 'TLSv1.3'] as const) {
    const socket = await shake(server, own.ca, version)
    assert.equal(socket.getProtocol(), version)
    socket.destroy()
  }
  for (const version of ['TLSv1', 'TLSv1.1'] as const)
    await assert.rejects(shake(server, own.ca, version), /alert|protocol|version/i)
  await assert.rejects(fetch(`http://127.0.0.1:${server.port}/readyz`))
})

test('what another authority has signed is not believed; the command line is told of its own by --ca or HOLDFAST_CA', async t => {
  const own = await world(t)
  const server = await serve(t, own)
  await assert.rejects(shake(server, new Authority('another').certificate), /certificate/)
  const url = `https://localhost:${server.port}`
  const file = join(own.certs, 'ca.pem')
  const without = await cli(['acquire', 'a', '--ttl', '1m'], { url })
  assert.equal(without.code, 123, without.stderr)
  const named = await cli(['acquire', 'a', '--ttl', '1m', '--ca', file], { url })
  assert.equal(named.code, 0, named.stderr)
  const listed = await cli(['list'], { url, env: { HOLDFAST_CA: file } })
  assert.equal(listed.code, 0, listed.stderr)
  const gone = await cli(['list', '--ca', join(own.folder, 'gone')], { url })
  assert.equal(gone.code, 124)
})

test('a replaced certificate is shown to new connections, and open ones do not notice', async t => {
  const own = await world(t)
  const server = await serve(t, own)
  const socket = await shake(server, own.ca)
  const webSocket = new WebSocket(`wss://localhost:${server.port}/v2/connect`, {
    ca: own.ca,
    headers: { authorization: `Bearer ${rootKey}` },
  })
  await once(webSocket, 'open')
  let closes = 0
  for (const each of [socket, webSocket]) each.on('close', () => closes++)
  const alive = async () => {
    socket.write('GET /readyz HTTP/1.1\r\nhost: localhost\r\n\r\n')
    const [answer] = await once(socket, 'data')
    assert.match(String(answer), /^HTTP\/1.1 200 /)
    webSocket.ping()
    await once(webSocket, 'pong')
  }
  await alive()
  const before = await fingerprintOf(server, own.ca)
  // Bad ones first: half a file, and a key that is another certificate's.
  const [certificate, key] = [join(own.certs, 'server.pem'), join(own.certs, 'server-key.pem')]
  const [goodCertificate, goodKey] = [readFileSync(certificate), readFileSync(key)]
  const foreign = new Authority('another').issue('holdfast')
  for (const bad of [goodCertificate.subarray(0, 200), foreign.certificate]) {
    const warnings = server.output().split('the old one stays').length
    writeFileSync(certificate, bad)
    while (server.output().split('the old one stays').length === warnings) await sleep(50)
    assert.equal(await fingerprintOf(server, own.ca), before)
    writeFileSync(certificate, goodCertificate)
    writeFileSync(key, goodKey)
  }
  assert.match(await devCerts(own.certs), /authority that was there/)
  while ((await fingerprintOf(server, own.ca)) === before) await sleep(50)
  await alive()
  assert.equal(closes, 0)
  socket.destroy()
  webSocket.terminate()
})

test('a client certificate is asked for and believed when its authority is named; who has none goes on with a key', async t => {
  const own = await world(t)
  const clients = new Authority('clients')
  const authority = join(own.folder, 'clients.pem')
  writeFileSync(authority, clients.certificate)
  const server = await serve(t, own, ['--client-ca', authority])
  const shown = (pair: { certificate: string; key: string }) => ({ cert: pair.certificate, key: pair.key })
  const known = await ask(server, own.ca, '/v2/whoami', undefined, shown(clients.issue('billing')))
  assert.equal(known.status, 200, known.body)
  assert.match(known.body, /cert:billing/)
  const stranger = new Authority('clients').issue('billing')
  assert.equal((await ask(server, own.ca, '/v2/whoami', undefined, shown(stranger))).status, 401)
  assert.equal((await ask(server, own.ca, '/v2/whoami')).status, 200)
})

test('servers speak TLS to each other, and not with one whose authority they do not know', async t => {
  const own = await world(t)
  const etcd = await startEtcd()
  t.after(() => etcd.stop())
  const flags = ['--engine', 'etcd', '--etcd', etcd.url, '--shards', '1']
  const ca = join(own.folder, 'peers.pem')
  copyFileSync(join(own.certs, 'ca.pem'), ca)
  const first = await serve(t, own, [...flags, '--peer-ca', ca])
  const grant = { holder: 'test', ttl_seconds: 60 }
  assert.equal((await ask(first, own.ca, '/v1/locks/a/acquire', grant)).status, 200)
  // The only shard is the first server's: whoever else is asked asks that one.
  const second = await serve(t, own, [...flags, '--peer-ca', ca])
  for (let tries = 0; (await ask(second, own.ca, '/v1/locks/b/acquire', grant)).status !== 200; tries++) {
    assert.ok(tries < 50, 'the second server does not reach the first')
    await sleep(100)
  }
  assert.equal((await ask(first, own.ca, '/v1/locks/b')).status, 200)
  const believed = join(own.folder, 'third.pem')
  writeFileSync(believed, new Authority('another').certificate)
  // In one start of three, on a machine that is slow, the shard becomes its own before it is asked.
  for (let start = 1; start <= STARTS_MAX; start++) {
    const third = await serve(t, own, [...flags, '--peer-ca', believed])
    const [known, unknown] = await Promise.all([second, third].map(server => ask(server, own.ca, '/v1/locks/a')))
    assert.equal(known?.status, 200)
    if (unknown?.status === 503) {
      // It is read again: nobody has to start anew because an authority takes the place of another.
      copyFileSync(ca, believed)
      for (let tries = 0; (await ask(third, own.ca, '/v1/locks/a')).status !== 200; tries++) {
        assert.ok(tries < 50, 'the third server does not believe the new authority')
        await sleep(100)
      }
      return
    }
    assert.equal(unknown?.status, 200, unknown?.body)
    await third.stop()
  }
  assert.fail('a server with another authority was answered by the others')
})
