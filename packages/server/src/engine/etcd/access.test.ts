/** Who may talk to the store: certificates on both sides, replaced while we run; users, passwords, and tokens that run out. */
import assert from 'node:assert/strict'
import { readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { test } from 'node:test'
import { setTimeout as sleep } from 'node:timers/promises'
import { createServer, TLSSocket } from 'node:tls'
import { Authority, type Pair } from '../../../../../test/harness/certificates.ts'
import { type EtcdCluster, startEtcd } from '../../../../../test/harness/etcd.ts'
import { freePort, temporaryFolder } from '../../../../../test/harness/process.ts'
import { systemClock } from '../../clock.ts'
import { EngineRefusal } from '../engine.ts'
import { EtcdClient } from './client.ts'
import { EtcdError } from './errors.ts'
import { type EtcdEngine, type EtcdOptions, openEtcd } from './etcd.ts'

const put = (key: string) => ({ checks: [], writes: [{ key, value: Buffer.from('x') }] })
const isKind = (kind: EtcdError['kind']) => (error: unknown) => error instanceof EtcdError && error.kind === kind

function writePair(folder: string, name: string, { certificate, key }: Pair) {
  const files = { certificateFile: join(folder, `${name}.crt`), keyFile: join(folder, `${name}.key`) }
  writeFileSync(files.certificateFile, certificate)
  writeFileSync(files.keyFile, key)
  return files
}

async function withTls(
  act: (at: { cluster: EtcdCluster; folder: string; caFile: string; authority: Authority }) => Promise<void>,
) {
  const { path: folder, remove } = temporaryFolder('etcd-tls')
  const authority = new Authority('test authority')
  const caFile = join(folder, 'ca.crt')
  writeFileSync(caFile, authority.certificate)
  const cluster = await startEtcd({ tls: { caFile, ...writePair(folder, 'server', authority.issue('etcd')) } })
  try {
    await act({ cluster, folder, caFile, authority })
  } finally {
    await cluster.stop()
    remove()
  }
}

test('both sides show certificates; without one, or with one of another authority, there is no way in', () =>
  withTls(async ({ cluster, folder, caFile, authority }) => {
    const own = writePair(folder, 'client', authority.issue('holdfast'))
    const open = (tls: NonNullable<EtcdOptions['tls']>) =>
      openEtcd({ urls: cluster.urls, clock: systemClock, tls, openMsMax: 500 })
    const engine = await open({ caFile, certificate: own })
    assert.ok((await engine.commit(put('tls'))).ok)
    await engine.close()
    const stranger = writePair(folder, 'stranger', new Authority('another').issue('holdfast'))
    await assert.rejects(open({ caFile, certificate: stranger }), EtcdError)
    await assert.rejects(open({ caFile, certificate: null }), EtcdError)
    await assert.rejects(open({ caFile: null, certificate: own }), EtcdError)
    await assert.rejects(open({ caFile, certificate: { ...own, keyFile: stranger.keyFile } }), /key values mismatch/)
  }))

test('a certificate that is replaced on disk is used from then on, without a restart; half of a pair is not', () =>
  withTls(async ({ cluster, folder, caFile, authority }) => {
    const shown = new Set<string>()
    const troubles: string[] = []
    const front = await serveTls(folder, caFile, authority, shown)
    const files = writePair(folder, 'client', authority.issue('first'))
    const engine = await openEtcd({
      urls: [...cluster.urls],
      clock: systemClock,
      tls: { caFile, certificate: files },
      reloadMs: 30,
      onTrouble: ({ what }) => void troubles.push(what),
    })
    // Looks at what is shown, at a door that is not etcd's: nothing else says which certificate it was.
    const tls = { caFile, certificate: files }
    const looker = new EtcdClient({ urls: [front.url], clock: systemClock, tls, reloadMs: 30 })
    await assert.rejects(looker.status(300), EtcdError)
    assert.deepEqual([...shown], ['first'])
    const second = authority.issue('second')
    writeFileSync(files.certificateFile, second.certificate)
    for (let waited = 0; waited < 10_000 && troubles.length === 0; waited += 10) await sleep(10)
    assert.match(troubles[0] ?? '', /cannot be used/)
    assert.ok((await engine.commit(put('half'))).ok)
    writeFileSync(files.keyFile, second.key)
    for (let waited = 0; waited < 10_000 && !shown.has('second'); waited += 50) {
      await assert.rejects(looker.status(300), EtcdError)
      await sleep(50)
    }
    assert.ok(shown.has('second'))
    assert.ok((await engine.commit(put('second'))).ok)
    looker.close()
    await engine.close()
    front.close()
  }))

/** A door that lets nobody in, and notes what they have shown. */
async function serveTls(folder: string, caFile: string, authority: Authority, shown: Set<string>) {
  const pair = writePair(folder, 'front', authority.issue('front'))
  const port = await freePort()
  const server = createServer(
    {
      cert: readFileSync(pair.certificateFile),
      key: readFileSync(pair.keyFile),
      ca: readFileSync(caFile),
      requestCert: true,
      ALPNProtocols: ['h2'],
    },
    socket => {
      assert.ok(socket instanceof TLSSocket)
      shown.add(String(socket.getPeerCertificate().subject.CN))
      socket.destroy()
    },
  )
  server.on('tlsClientError', () => undefined)
  await new Promise<void>(resolve => server.listen(port, '127.0.0.1', resolve))
  return { url: `https://127.0.0.1:${port}`, close: () => server.close() }
}

/** `root`, and `holdfast`, who may touch what begins with its name only. */
async function enableUsers(cluster: EtcdCluster): Promise<void> {
  const [member] = cluster.members
  const ask = (path: string, body: object) => cluster.gateway(member!, path, body)
  const key = Buffer.from('holdfast/').toString('base64')
  const end = Buffer.from('holdfast0').toString('base64')
  await ask('/v3/auth/user/add', { name: 'root', password: 'root password' })
  await ask('/v3/auth/role/add', { name: 'root' })
  await ask('/v3/auth/user/grant', { user: 'root', role: 'root' })
  await ask('/v3/auth/user/add', { name: 'holdfast', password: 'right' })
  await ask('/v3/auth/role/add', { name: 'locks' })
  await ask('/v3/auth/role/grant', { name: 'locks', perm: { permType: 'READWRITE', key, range_end: end } })
  await ask('/v3/auth/user/grant', { user: 'holdfast', role: 'locks' })
  await ask('/v3/auth/enable', {})
}

async function withUsers(
  act: (at: { cluster: EtcdCluster; open: (password: string) => Promise<EtcdEngine> }) => Promise<void>,
) {
  const cluster = await startEtcd({ flags: ['--auth-token-ttl=1'] })
  try {
    await enableUsers(cluster)
    const open = (password: string) =>
      openEtcd({ urls: cluster.urls, clock: systemClock, login: { user: 'holdfast', password } })
    await act({ cluster, open })
  } finally {
    await cluster.stop()
  }
}

test('users: the right password opens, a wrong one is told at once, and none is asked for', () =>
  withUsers(async ({ cluster, open }) => {
    const engine = await open('right')
    assert.ok((await engine.commit(put('holdfast/a'))).ok)
    assert.equal((await engine.read('holdfast/a'))?.key, 'holdfast/a')
    await assert.rejects(engine.commit(put('elsewhere')), EngineRefusal)
    await engine.close()
    await assert.rejects(open('wrong'), isKind('login_refused'))
    const nobody = openEtcd({ urls: cluster.urls, clock: systemClock })
    await assert.rejects(
      nobody.then(opened => opened.read('holdfast/a')),
      isKind('login_needed'),
    )
    await (await nobody).close()
  }))

test('a token that has run out is renewed, and the same commit made again, without anybody noticing', () =>
  withUsers(async ({ open }) => {
    const engine = await open('right')
    const first = await engine.commit(put('holdfast/expiring'))
    assert.ok(first.ok)
    // Its life is one second here; using it would make it longer.
    await sleep(2_500)
    const check = { key: 'holdfast/expiring', modRevision: first.revision }
    const again = await engine.commit({ ...put('holdfast/expiring'), checks: [check] })
    assert.ok(again.ok)
    assert.equal((await engine.read('holdfast/expiring'))?.modRevision, again.revision)
    await engine.close()
  }))

test('when users or roles change under a token, a new one is fetched, and everybody goes on', () =>
  withUsers(async ({ cluster, open }) => {
    const engine = await open('right')
    const ending = new AbortController()
    let hints = 0
    const watching = (async () => {
      for await (const _ of engine.watch({ prefix: 'holdfast/', signal: ending.signal })) hints++
    })()
    await engine.commit(put('holdfast/b'))
    const [member] = cluster.members
    const body = { name: 'root', password: 'root password' }
    const { token } = (await cluster.gateway(member!, '/v3/auth/authenticate', body)) as { token: string }
    for (let round = 0; round < 3; round++) {
      await cluster.gateway(member!, '/v3/auth/user/add', { name: `new${round}`, password: 'x' }, token)
      // All at once: one of them logs in, the others use what it got.
      const outcomes = await Promise.all([1, 2, 3, 4].map(index => engine.commit(put(`holdfast/${round}/${index}`))))
      assert.ok(outcomes.every(({ ok }) => ok))
    }
    assert.ok(hints > 0)
    ending.abort()
    await watching
    await engine.close()
  }))
