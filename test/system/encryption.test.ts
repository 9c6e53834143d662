/** The store encrypted, as operators meet it: what lies on the disk, what happens with a wrong key, and keys that are changed under load. */
import assert from 'node:assert/strict'
import { randomBytes } from 'node:crypto'
import { readdirSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { type TestContext, test } from 'node:test'
import { setTimeout as sleep } from 'node:timers/promises'
import { openLmdb } from '../../packages/server/src/engine/lmdb/lmdb.ts'
import { cli } from '../harness/cli.ts'
import { etcdEnvironment, startCluster } from '../harness/cluster.ts'
import { startEtcd } from '../harness/etcd.ts'
import { type Load, startLoad } from '../harness/load.ts'
import { temporaryFolder } from '../harness/process.ts'
import { asker } from '../harness/rest.ts'
import { type Server, type ServerOptions, spawnServer, startServer } from '../harness/server.ts'
import { startServers } from '../harness/servers.ts'

const canary = (what: string) => `canary-${what}-${'x'.repeat(8)}`
const ofLocks = ['name', 'metadata', 'label', 'value', 'session', 'reason']
const canaries = [...ofLocks, 'instance', 'credential', 'group', 'pattern', 'freeze'].map(canary)

/** Gone with the test, however it ends. */
function folderFor(t: TestContext): ReturnType<typeof temporaryFolder> {
  const folder = temporaryFolder('encryption')
  t.after(() => folder.remove())
  return folder
}

async function started(t: TestContext, options: ServerOptions): Promise<Server> {
  const server = await startServer(options)
  t.after(() => server.kill())
  return server
}

function keyFile(folder: string, name = 'kek'): string {
  const path = join(folder, name)
  writeFileSync(path, `${randomBytes(32).toString('hex')}\n`, { mode: 0o600 })
  return path
}

/** Lets everything that a user can say come into the store, and leaves some of it there. */
async function sayAll(url: string): Promise<void> {
  const ask = asker(url)
  const ok = async (method: string, path: string, body?: object, headers?: Record<string, string>) => {
    const { status, body: reply } = await ask(method, path, body, headers)
    assert.ok(status < 300, `${method} ${path}: ${status} ${JSON.stringify(reply)}`)
    return reply
  }
  for (const name of [canary('name'), `${canary('name')}-kept`]) {
    await ok('PUT', `/v2/locks/${name}`, { labels: { team: canary('label') } })
    const { session_id, session_secret } = await ok('POST', '/v2/sessions', { labels: { from: canary('session') } })
    const as = { 'holdfast-session': `${session_id}.${session_secret}` }
    const grant = await ok('POST', `/v2/locks/${name}/acquire`, { metadata: { what: canary('metadata') } }, as)
    await ok('PUT', `/v2/locks/${name}/value`, { token: grant.token, value: canary('value') }, as)
    if (name === canary('name')) await ok('POST', `/v2/locks/${name}/release`, { token: grant.token }, as)
    else await ok('POST', `/v2/locks/${name}/force-release`, { reason: canary('reason') })
  }
  await ok('DELETE', `/v2/locks/${canary('name')}`)
  await ok('POST', '/v2/instances', { name: canary('instance'), plan: 'standard' })
  await ok('POST', '/v2/credentials', { name: canary('credential') })
  const policy = { subjects: [`group:${canary('group')}`], roles: ['reader'], locks: [`${canary('pattern')}/*`] }
  await ok('POST', '/v2/policies', policy)
  await ok('POST', '/v2/freezes', { prefix: 'f/', reason: canary('freeze'), until: '2126-01-01T00:00:00Z' })
}

function found(directory: string): string[] {
  const files = readdirSync(directory, { recursive: true, withFileTypes: true }).filter(entry => entry.isFile())
  const contents = files.map(entry => readFileSync(join(entry.parentPath, entry.name)))
  return canaries.filter(text => contents.some(bytes => bytes.includes(text)))
}

async function keys(args: string[]): Promise<string> {
  const { code, stdout, stderr } = await cli(['keys', ...args], { url: 'http://127.0.0.1:1' })
  assert.equal(code, 0, stderr)
  return stdout
}

type Status = { keys: { id: string; is_current: boolean; values: number }[] }
const statusOf = async (settings: string[]) =>
  (JSON.parse(await keys(['status', '--json', ...settings])) as Status).keys

test('nothing that users say is in the files of LMDB, and all of it is when the store is in the clear', async t => {
  for (const isSealed of [true, false]) {
    const folder = folderFor(t)
    const data = join(folder.path, 'data')
    const flags = isSealed ? ['--encryption-key-file', keyFile(folder.path)] : []
    const server = await started(t, { data, flags })
    await sayAll(server.url)
    assert.deepEqual(found(data), isSealed ? [] : canaries, 'while it runs')
    await server.stop()
    assert.deepEqual(found(data), isSealed ? [] : canaries)
  }
})

test('nothing that users say is in the files of etcd, and all of it is when the store is in the clear', async t => {
  for (const isSealed of [true, false]) {
    const etcd = await startEtcd()
    t.after(() => etcd.stop())
    const folder = folderFor(t)
    const flags = ['--engine', 'etcd', '--etcd', etcd.url]
    if (isSealed) flags.push('--encryption-key-file', keyFile(folder.path))
    const server = await started(t, { data: join(folder.path, 'data'), flags })
    await sayAll(server.url)
    await server.stop()
    // Both of its kinds of files: the log of its members, and the database.
    assert.deepEqual(found(etcd.folder), isSealed ? [] : canaries)
  }
})

test('a wrong key, none, or one for a store in the clear: the server says why, and does not start', async t => {
  const folder = folderFor(t)
  const data = join(folder.path, 'data')
  const right = keyFile(folder.path)
  const start = async (flags: string[], at = data) => {
    const server = await spawnServer({ data: at, flags })
    const code = await server.exited
    return { code, output: server.output() }
  }
  const first = await started(t, { data, flags: ['--encryption-key-file', right] })
  await first.stop()
  const wrong = await start(['--encryption-key-file', keyFile(folder.path, 'other')])
  assert.equal(wrong.code, 1)
  assert.match(wrong.output, /wrapped by kek:[0-9a-f]+, and the key-encryption key that was given is kek:/)
  const none = await start([])
  assert.equal(none.code, 1)
  assert.match(none.output, /is encrypted, and no key was given: give --encryption-key-file/)
  const gone = await start(['--encryption-key-file', join(folder.path, 'gone')])
  assert.equal(gone.code, 1)
  assert.match(gone.output, /cannot be read/)
  const clear = join(folder.path, 'clear')
  await (await started(t, { data: clear })).stop()
  const late = await start(['--encryption-key-file', right], clear)
  assert.equal(late.code, 1)
  assert.match(late.output, /begun without encryption/)
  await (await started(t, { data, flags: ['--encryption-key-command', `cat ${right}`] })).stop()
})

test('two records swapped, or one put back to where another was: the server does not go on', async t => {
  const folder = folderFor(t)
  const data = join(folder.path, 'data')
  const flags = ['--encryption-key-file', keyFile(folder.path)]
  const server = await started(t, { data, flags })
  await sayAll(server.url)
  await server.stop()
  const engine = await openLmdb({ path: join(data, 'store') })
  const { pairs } = await engine.list({ prefix: 'holdfast/shards/0/log/', limit: 2 })
  const [one, other] = pairs
  const swapped = [
    { key: one!.key, value: other!.value },
    { key: other!.key, value: one!.value },
  ]
  assert.ok((await engine.commit({ checks: [], writes: swapped })).ok)
  await engine.close()
  const again = await spawnServer({ data, flags })
  assert.equal(await again.exited, 1)
  assert.match(again.output(), /does not open: it was changed, cut short, or belongs to another record/)
})

async function changeKeysUnderLoad(servers: readonly Server[], settings: string[]): Promise<void> {
  const load = startLoad({ urls: servers.map(({ url }) => url) })
  try {
    await changeKeys(load, settings)
  } finally {
    const { failures, overlaps } = await load.stop()
    assert.deepEqual(failures, [])
    assert.deepEqual(overlaps, [])
  }
}

async function changeKeys(load: Load, settings: string[]): Promise<void> {
  const goOn = async (cycles: number) => {
    for (const enough = load.cycles() + cycles; load.cycles() < enough; ) await sleep(20)
  }
  await goOn(50)
  const before = await statusOf(settings)
  for (let rotation = 0; rotation < 2; rotation++) {
    await keys(['rotate', ...settings])
    await goOn(50)
  }
  await keys(['reencrypt', '--rate', '2000', ...settings])
  await goOn(50)
  const after = await statusOf(settings)
  assert.equal(after.length, 1)
  assert.ok(after[0]?.is_current && after[0].values > 0)
  assert.ok(before.every(({ id }) => id !== after[0]?.id))
}

test('the data key of LMDB is changed under load: nothing fails, and the old keys are gone', async t => {
  const folder = folderFor(t)
  const data = join(folder.path, 'data')
  const key = keyFile(folder.path)
  const settings = ['--data', data, '--encryption-key-file', key]
  const server = await started(t, { data, flags: ['--encryption-key-file', key] })
  const ask = asker(server.url)
  const { body } = await ask('POST', '/v1/locks/kept/acquire', { holder: 'a', ttl_seconds: 600 })
  await changeKeysUnderLoad([server], settings)
  // Another key-encryption key, while it runs: the file is read when it is needed.
  const next = keyFile(folder.path, 'next')
  await keys(['rewrap', '--new-encryption-key-file', next, ...settings])
  writeFileSync(key, readFileSync(next))
  await keys(['rotate', ...settings])
  assert.equal((await ask('POST', '/v1/locks/other/acquire', { holder: 'a', ttl_seconds: 600 })).status, 200)
  await server.kill()
  const again = await started(t, { data, flags: ['--encryption-key-file', next] })
  const shown = await asker(again.url)('GET', '/v2/locks/kept')
  assert.ok(JSON.stringify(shown.body).includes(String(body.token)))
  await again.stop()
})

test('the data key of servers over etcd is changed under load: nothing fails, and the old keys are gone', async t => {
  const folder = folderFor(t)
  const key = keyFile(folder.path)
  const flags = ['--encryption-key-file', key]
  const servers = await startServers({ servers: 2, etcd: { members: 1 }, flags })
  t.after(() => servers.stop())
  await changeKeysUnderLoad(servers.all, ['--engine', 'etcd', '--etcd', servers.etcd.urls.join(','), ...flags])
})

test('an encrypted store is backed up as it is, and restored by whoever has its key and nobody else', async t => {
  const folder = folderFor(t)
  const key = keyFile(folder.path)
  const env = { ...etcdEnvironment(), HOLDFAST_ENCRYPTION_KEY_FILE: key }
  const cluster = await startCluster({})
  t.after(() => cluster.stop())
  const flags = ['--encryption-key-file', key]
  await cluster.startServer({ flags })
  const url = cluster.urls[0] ?? ''
  const grant = { holder: 'test', ttl_seconds: 600 }
  assert.equal((await asker(url)('POST', `/v1/locks/${canary('name')}/acquire`, grant)).status, 200)
  const file = join(folder.path, 'backup.db')
  await cluster.ok('backup', file)
  assert.ok(!readFileSync(file).includes(canary('name')))
  const status = await cli(['cluster', 'status', '--json', '--data', cluster.data], { url, env })
  assert.equal((JSON.parse(status.stdout) as { store: { servers: object[] } }).store.servers.length, 1, status.stdout)
  const restore = (data: string, more: NodeJS.ProcessEnv) =>
    cli(['cluster', 'restore', file, '--data', join(folder.path, data), '--port', '0'], { url: '', env: more })
  const without = await restore('without', etcdEnvironment())
  assert.equal(without.code, 1, without.stderr)
  assert.match(without.stderr, /is encrypted, and no key was given/)
  const wrong = await restore('wrong', { ...env, HOLDFAST_ENCRYPTION_KEY_FILE: keyFile(folder.path, 'other') })
  assert.equal(wrong.code, 1, wrong.stderr)
  assert.match(wrong.stderr, /data keys are wrapped by kek:/)
  const right = await restore('right', env)
  assert.equal(right.code, 0, right.stderr)
  assert.match(right.stdout, /8 shards, 1 grants/)
})
