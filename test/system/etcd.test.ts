/** One server over real etcd, end to end: what was granted outlives the server, the members, and a store that was full. */
import assert from 'node:assert/strict'
import { spawnSync } from 'node:child_process'
import { readFileSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { test } from 'node:test'
import { setTimeout as sleep } from 'node:timers/promises'
import { systemClock } from '../../packages/server/src/clock.ts'
import { openEtcd } from '../../packages/server/src/engine/etcd/etcd.ts'
import { Authority } from '../harness/certificates.ts'
import { type EtcdCluster, type EtcdOptions, etcdPrograms, startEtcd } from '../harness/etcd.ts'
import { fill } from '../harness/foreign-data.ts'
import { temporaryFolder } from '../harness/process.ts'
import { type Ask, asker, openSession } from '../harness/rest.ts'
import { type Server, spawnServer, startServer } from '../harness/server.ts'

type At = { cluster: EtcdCluster; start(flags?: string[]): Promise<Server>; flags: string[]; data: string }

async function overEtcd(options: EtcdOptions, act: (at: At) => Promise<void>): Promise<void> {
  const cluster = await startEtcd(options)
  const folder = temporaryFolder('over-etcd')
  const servers: Server[] = []
  const flags = ['--engine', 'etcd', '--etcd', cluster.urls.join(',')]
  const start = async (more: string[] = []) => {
    const server = await startServer({ data: folder.path, flags: [...flags, ...more] })
    servers.push(server)
    return server
  }
  try {
    await act({ cluster, start, flags, data: folder.path })
  } finally {
    await Promise.all(servers.map(server => server.kill()))
    await cluster.stop()
    folder.remove()
  }
}

type Granted = { status: number; body: { token?: number; errors?: { code: string }[] } }

async function acquire(ask: Ask, session: string, lock: string): Promise<Granted> {
  const answer = await ask('POST', `/v2/locks/${lock}/acquire`, {}, { 'holdfast-session': session })
  return answer as unknown as Granted // the fields that this file looks at
}

async function holds(ask: Ask, lock: string): Promise<number | null> {
  const { status, body } = await ask('GET', `/v2/locks/${lock}`)
  if (status === 404) return null
  const [holder] = (body.holders ?? []) as { token: number }[]
  return holder?.token ?? null
}

test('acquired over etcd, kill -9 of the server, started anew: still held, and the next token is larger', () =>
  overEtcd({}, async ({ start }) => {
    const first = await start()
    let ask = asker(first.url)
    const session = await openSession(ask, 60_000)
    const granted = await acquire(ask, session, 'deploy')
    assert.equal(granted.status, 200)
    await first.kill()
    const second = await start()
    ask = asker(second.url)
    assert.equal(await holds(ask, 'deploy'), granted.body.token)
    const other = await openSession(ask, 60_000)
    assert.equal((await acquire(ask, other, 'deploy')).status, 409)
    const released = await ask(
      'POST',
      '/v2/locks/deploy/release',
      { token: granted.body.token },
      { 'holdfast-session': session },
    )
    assert.equal(released.status, 200)
    const next = await acquire(ask, other, 'deploy')
    assert.ok(next.body.token! > granted.body.token!)
    assert.equal(await second.stop(), 0)
  }))

test('three members over TLS; the leader dies under the server, and nobody is asked to come back', async () => {
  const folder = temporaryFolder('over-etcd-tls')
  const authority = new Authority('cluster')
  const file = (name: string, content: string) => {
    writeFileSync(join(folder.path, name), content)
    return join(folder.path, name)
  }
  const caFile = file('ca.crt', authority.certificate)
  const [member, client] = [authority.issue('etcd'), authority.issue('holdfast')]
  const memberFiles = {
    certificateFile: file('member.crt', member.certificate),
    keyFile: file('member.key', member.key),
  }
  const secure = [
    '--etcd-ca',
    caFile,
    '--etcd-cert',
    file('client.crt', client.certificate),
    '--etcd-key',
    file('client.key', client.key),
  ]
  await overEtcd({ members: 3, tls: { caFile, ...memberFiles } }, async ({ cluster, start }) => {
    const server = await start(secure)
    const ask = asker(server.url)
    const session = await openSession(ask, 60_000)
    const before = await acquire(ask, session, 'before')
    assert.equal(before.status, 200)
    // Each in turn, so that one of them was the leader, and the one that was asked.
    for (const dying of cluster.members) {
      await dying.kill()
      const during = await acquire(ask, session, `during/${dying.name}`.replace('/', '-'))
      assert.equal(during.status, 200, server.output())
      cluster.start(dying)
      await cluster.ready(dying)
    }
    assert.equal(await holds(ask, 'before'), before.body.token)
  })
  folder.remove()
})

const QUOTA_BYTES = 24 * 1024 * 1024

test('a store that fills up: acquires are refused, what is held goes on and ends as it should, and the room comes back by itself', () =>
  overEtcd({ flags: [`--quota-backend-bytes=${QUOTA_BYTES}`] }, async ({ cluster, start }) => {
    const server = await start(['--etcd-quota-bytes', String(QUOTA_BYTES)])
    const ask = asker(server.url)
    const session = await openSession(ask, 60_000)
    const brief = await openSession(ask, 5_000)
    const held = await acquire(ask, session, 'held')
    assert.equal((await acquire(ask, brief, 'brief')).status, 200)
    const filler = await openEtcd({ urls: cluster.urls, clock: systemClock, quotaBytes: QUOTA_BYTES })
    await fill(filler, 0.87)
    await filler.close()
    await until('refused', async () => {
      const { body } = await acquire(ask, session, 'more')
      return body.errors?.[0]?.code === 'storage_full'
    })
    assert.equal(await holds(ask, 'held'), held.body.token)
    const renewed = await ask(
      'POST',
      `/v2/sessions/${session.split('.')[0]}/renew`,
      {},
      { 'holdfast-session': session },
    )
    assert.equal(renewed.status, 200)
    const released = await ask(
      'POST',
      '/v2/locks/held/release',
      { token: held.body.token },
      { 'holdfast-session': session },
    )
    assert.equal(released.status, 200, server.output())
    await until('expired', async () => (await holds(ask, 'brief')) === null)
    await until('accepted', async () => (await acquire(ask, session, 'again')).status === 200)
  }))

test('an etcd that cannot be used is told at once, with the reason', async () => {
  await overEtcd({}, async ({ cluster, flags, data }) => {
    const refused = await spawnServer({
      data,
      flags: [...flags, '--etcd-user', 'x'],
      env: { HOLDFAST_ETCD_PASSWORD: 'y' },
    })
    assert.equal(await refused.exited, 1)
    assert.match(refused.output(), /authentication is not enabled/)
    const [member] = cluster.members
    await member!.kill()
  })
})

async function until(what: string, isSo: () => Promise<boolean>): Promise<void> {
  for (let waited = 0; waited < 90_000; waited += 200) {
    if (await isSo()) return
    await sleep(200)
  }
  assert.fail(`it was never ${what}`)
}

test('over etcd the root key is changed by presetting it: a file with another one is refused, and says so', () =>
  overEtcd({}, async ({ flags, data }) => {
    const path = join(data, 'root.key')
    const own = { data, flags, env: { HOLDFAST_ROOT_KEY: undefined } }
    const status = async ({ url }: Server, key: string) =>
      (await fetch(`${url}/v2/instances/default`, { headers: { authorization: `Bearer ${key}` } })).status
    const first = await startServer(own)
    const leaked = readFileSync(path, 'utf8').trim()
    assert.equal(await status(first, leaked), 200)
    assert.equal(await first.stop(), 0)
    writeFileSync(path, 'the-new-key-of-the-operator\n')
    const refused = await spawnServer(own)
    const ended = await Promise.race([refused.exited, sleep(30_000, 'it runs', { ref: false })])
    await refused.kill()
    assert.equal(ended, 64, refused.output())
    assert.match(refused.output(), /root\.key holds another key .* HOLDFAST_ROOT_KEY on every server/)
    // It has left: nobody waits for its silence, nor for shards that it would have.
    const preset = await startServer({ data, flags, env: { HOLDFAST_ROOT_KEY: 'the-new-key-of-the-operator' } })
    assert.deepEqual([await status(preset, leaked), await status(preset, 'the-new-key-of-the-operator')], [401, 200])
    assert.equal(await preset.stop(), 0)
    rmSync(path)
    const again = await startServer(own)
    assert.equal(readFileSync(path, 'utf8').trim(), leaked)
    assert.equal(await again.stop(), 0)
  }))

test('a folder that had an embedded store keeps its root key beside when its server goes to etcd', () =>
  overEtcd({}, async ({ flags, data }) => {
    const env = { HOLDFAST_ROOT_KEY: undefined }
    const embedded = await startServer({ data, env })
    const key = readFileSync(join(data, 'root.key'), 'utf8')
    assert.equal(await embedded.stop(), 0)
    const server = await startServer({ data, flags, env })
    assert.equal(readFileSync(join(data, 'root.key.old'), 'utf8'), key)
    assert.notEqual(readFileSync(join(data, 'root.key'), 'utf8'), key)
    assert.match(server.output(), /had the root key of another store: it is kept in \S+root\.key\.old/)
    assert.equal(await server.stop(), 0)
  }))

test('a server that has seen more than the store has refuses to start on it, and says what to do', () =>
  overEtcd({}, async ({ start, flags, data }) => {
    const first = await start()
    assert.equal(await first.stop(), 0)
    const path = join(data, 'store.json')
    const seen = JSON.parse(readFileSync(path, 'utf8')) as { revision: number; epochs: number[] }
    assert.ok(seen.revision > 0)
    assert.ok(seen.epochs.length > 0 && seen.epochs.every(epoch => epoch > 0), JSON.stringify(seen))
    for (const [ahead, why] of [
      [{ revision: seen.revision + 1_000 }, /gone back in time.*holdfast cluster restore/s],
      [
        { epochs: seen.epochs.map(epoch => epoch + 1) },
        /Shard 0 is in epoch .*put back in time.*holdfast cluster restore/s,
      ],
    ] as const) {
      writeFileSync(path, JSON.stringify({ ...seen, ...ahead }))
      const second = await spawnServer({ data, flags })
      assert.equal(await second.exited, 1)
      assert.match(second.output(), why)
    }
    rmSync(path)
    await (await start()).stop()
  }))

test('a store that was put back by the tool of etcd, with revisions that go on, is refused: its next owner would give tokens a second time', () =>
  overEtcd({}, async ({ cluster, start, flags, data }) => {
    const [member] = cluster.members
    const acquired = async (server: Server) => {
      const ask = asker(server.url)
      const session = await openSession(ask, 60_000)
      const { body } = await acquire(ask, session, 'deploy')
      assert.ok(body.token! > 0, JSON.stringify(body))
      return body.token!
    }
    const first = await start()
    await acquired(first)
    assert.equal(await first.stop(), 0)
    const file = join(cluster.folder, 'backup.db')
    await backUp(member!.url, file)
    // Another epoch, whose tokens the store will know nothing of.
    const second = await start()
    await asker(second.url)('POST', '/v2/locks/deploy/force-release', { reason: 'test', now: true })
    const token = await acquired(second)
    assert.equal(await second.stop(), 0)
    await member!.kill()
    rmSync(member!.dataDirectory, { recursive: true })
    const names = [`--name=${member!.name}`, `--initial-cluster=${cluster.initialCluster}`]
    const place = [`--initial-advertise-peer-urls=${member!.peerUrl}`, `--data-dir=${member!.dataDirectory}`]
    const bumped = ['--bump-revision=1000000', '--mark-compacted', '--initial-cluster-token=holdfast-test']
    const args = ['snapshot', 'restore', file, ...names, ...place, ...bumped]
    const { status, stderr } = spawnSync(etcdPrograms().etcdutl, args, { encoding: 'utf8' })
    assert.equal(status, 0, stderr)
    cluster.start(member!)
    await cluster.ready(member!)
    const third = await spawnServer({ data, flags })
    assert.equal(await third.exited, 1)
    assert.match(third.output(), /is in epoch \d+ and was in \d+: the store has been put back in time/)
    // Who says that this is meant is told by those who come with what was given out.
    rmSync(join(data, 'store.json'))
    const fourth = await start()
    const ask = asker(fourth.url)
    await ask('POST', '/v2/locks/deploy/force-release', { reason: 'test', now: true })
    assert.equal((await ask('POST', '/v2/locks/deploy/validate', { token: token + 1_000 })).status, 409)
    assert.match(await (await fetch(`${fourth.url}/metrics`)).text(), /^holdfast_unissued_tokens_total 1$/m)
    assert.equal(await fourth.stop(), 0)
  }))

/** A snapshot by our own client. */
async function backUp(url: string, file: string): Promise<void> {
  const engine = await openEtcd({ urls: [url], clock: systemClock })
  const pieces: Uint8Array[] = []
  for await (const { blob } of engine.client.snapshot(url)) pieces.push(blob)
  writeFileSync(file, Buffer.concat(pieces))
  await engine.close()
}
