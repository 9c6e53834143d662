/** Backups that are opened before they count, and restores after which no token comes twice. */
import { strict as assert } from 'node:assert'
import { existsSync, readdirSync, readFileSync, statSync, truncateSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { after, before, test } from 'node:test'
import { setTimeout as sleep } from 'node:timers/promises'
import { connect } from '@holdfast/client'
import { cli } from '../harness/cli.ts'
import { etcdEnvironment, startCluster, TestCluster } from '../harness/cluster.ts'
import { rootKey } from '../harness/server.ts'

let cluster: TestCluster

before(async () => {
  cluster = await startCluster({ servers: 1, flags: ['--every', '1s', '--keep', '2'] })
})
after(() => cluster.stop())

test('backups are made by schedule, and the newest are kept', async () => {
  await until(() => cluster.up!.stderr().split('backed up to').length > 4)
  const files = readdirSync(join(cluster.data, 'backups')).filter(name => !name.endsWith('.partial'))
  assert.ok(files.length >= 2 && files.length <= 3, files.join())
  for (const name of files) {
    assert.match(name, /^holdfast-\d{8}T\d{9}Z\.db$/)
    assert.equal(statSync(join(cluster.data, 'backups', name)).mode & 0o777, 0o600)
  }
  assert.match(cluster.up?.stderr() ?? '', /\(\d+ keys, revision \d+\)/)
})

test('a backup by hand says what is in it, and never overwrites one', async () => {
  const file = join(cluster.folder.path, 'by-hand.db')
  assert.match(await cluster.ok('backup', file), /by-hand\.db: \d+\.\d MiB, \d+ keys, revision \d+, hash [0-9a-f]{8}\./)
  const again = await cluster.run('backup', file)
  assert.equal(again.code, 1)
  assert.match(again.stderr, /exists already/)
  const folder = join(cluster.folder.path, 'kept')
  for (let count = 0; count < 3; count++) await cluster.ok('backup', '--dir', folder, '--keep', '2')
  assert.equal(readdirSync(folder).length, 2)
})

test('a damaged backup is refused, and nothing is left of the try', async () => {
  const file = join(cluster.folder.path, 'by-hand.db')
  for (const spoil of [truncated, flipped]) {
    const data = join(cluster.folder.path, `from-${spoil.name}`)
    const damaged = join(cluster.folder.path, `${spoil.name}.db`)
    writeFileSync(damaged, readFileSync(file))
    spoil(damaged)
    const { code, stderr } = await restore(damaged, data)
    assert.equal(code, 1, stderr)
    assert.match(stderr, /etcdutl snapshot (status|restore)/)
    assert.ok(!existsSync(data) && !existsSync(`${data}.restoring`))
  }
})

test('a token beyond all that can be is refused with the largest that may be given', async () => {
  const file = join(cluster.folder.path, 'by-hand.db')
  const data = join(cluster.folder.path, 'beyond')
  const { code, stderr } = await restore(file, data, '--above-token', String(Number.MAX_SAFE_INTEGER))
  assert.equal(code, 1, stderr)
  assert.match(stderr, /^(?!.*bug).*largest token that may be given by --above-token is \d+\.$/m)
  assert.ok(!existsSync(data) && !existsSync(`${data}.restoring`))
})

test('no token comes twice: grants, a backup, more grants, a restore, grants', async () => {
  const file = join(cluster.folder.path, 'before.db')
  const tokens: number[] = []
  {
    await using holdfast = connect({ url: cluster.urls, apiKey: rootKey })
    for (let count = 0; count < 20; count++) tokens.push(await grant(holdfast, `lock-${count % 3}`))
    await using kept = await holdfast.acquire('kept')
    tokens.push(kept.token)
    await cluster.ok('backup', file)
    for (let count = 0; count < 40; count++) tokens.push(await grant(holdfast, `lock-${count % 3}`))
  }
  await cluster.stopServers()
  const refused = await restore(file, cluster.data)
  assert.equal(refused.code, 1)
  assert.match(refused.stderr, /Restore into a new directory/)
  await cluster.stopUp()

  const restored = new TestCluster({})
  try {
    const { code, stdout, stderr } = await restore(file, restored.data)
    assert.equal(code, 0, stderr)
    const above = Number(/larger than (\d+)/.exec(stdout)?.[1])
    assert.ok(above > Math.max(...tokens))
    // What was restored once goes on above the first time the next time, which the file beside it says.
    const again = await restore(file, join(restored.folder.path, 'again'))
    assert.equal(again.code, 0, again.stderr)
    assert.ok(Number(/larger than (\d+)/.exec(again.stdout)?.[1]) >= above + 2 ** 16 * 2 ** 32)
    assert.equal((JSON.parse(readFileSync(`${file}.restored`, 'utf8')) as { times?: number }).times, 2)
    await restored.startUp([])
    // It has been on the store of before, and remembers how far that was.
    await restored.startServer({ data: join(cluster.folder.path, 'server-1') })
    await using holdfast = connect({ url: restored.urls, apiKey: rootKey })
    await assert.rejects(holdfast.acquire('lock-0', { waitMs: 0 }), isFrozen)
    const { store, cluster_id } = JSON.parse(await restored.ok('status', '--json')) as Status
    assert.ok(store.shards.every(({ epoch }) => epoch > 2 ** 16))
    assert.ok(!stdout.includes(cluster_id))
    for (const part of ['token', 'authority']) assert.notEqual(identity(restored)[part], identity(cluster)[part])
    // It would lift itself in an hour.
    const thawed = await cli(['thaw', ''], { url: restored.urls[0] ?? '' })
    assert.equal(thawed.code, 0, thawed.stderr)
    const after: number[] = []
    for (let count = 0; count < 20; count++) after.push(await grant(holdfast, `lock-${count % 3}`))
    assert.ok(Math.min(...after) > above)
    assert.deepEqual([...new Set([...tokens, ...after])].length, tokens.length + after.length)
    // What was held in the backup is held until its session has had its TTL.
    assert.equal((await grant(holdfast, 'kept')) > above, true)
  } finally {
    await restored.stop()
  }
})

type Status = { cluster_id: string; store: { shards: { epoch: number }[] } }

function restore(file: string, data: string, ...more: string[]) {
  const args = ['cluster', 'restore', file, '--data', data, '--port', '0', '--wait', '1h', ...more]
  return cli(args, { url: '', env: etcdEnvironment() })
}

/** What tells a cluster from another: nobody takes one for the other. */
function identity({ data }: TestCluster): Record<string, string> {
  const { token = '' } = JSON.parse(readFileSync(join(data, 'cluster.json'), 'utf8')) as { token?: string }
  return { token, authority: readFileSync(join(data, 'ca.pem'), 'utf8') }
}

function truncated(file: string): void {
  truncateSync(file, statSync(file).size - 4_096)
}

function flipped(file: string): void {
  const bytes = readFileSync(file)
  const middle = Math.floor(bytes.length / 2)
  bytes[middle] = bytes[middle]! ^ 0xff
  writeFileSync(file, bytes)
}

async function grant(holdfast: ReturnType<typeof connect>, name: string): Promise<number> {
  await using lock = await holdfast.acquire(name)
  return lock.token
}

function isFrozen(error: unknown): boolean {
  return (
    error instanceof Error && 'code' in error && error.code === 'frozen' && /Restored from a backup/.test(error.message)
  )
}

async function until(look: () => boolean | Promise<boolean>): Promise<void> {
  for (let tries = 0; tries < 400; tries++) {
    if (await look()) return
    await sleep(50)
  }
  throw new Error('it did not come about')
}
