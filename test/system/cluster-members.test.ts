/** Members of etcd that come, go and change while locks are taken and given back through the library: no operation fails. */
import { strict as assert } from 'node:assert'
import { chmodSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { after, afterEach, before, beforeEach, test } from 'node:test'
import { setTimeout as sleep } from 'node:timers/promises'
import { startCluster, type TestCluster } from '../harness/cluster.ts'
import { newerEtcd } from '../harness/etcd.ts'
import { type Load, startLoad } from '../harness/load.ts'

let cluster: TestCluster
let load: Load

before(async () => {
  cluster = await startCluster({ servers: 2 })
})
after(() => cluster.stop())

beforeEach(async () => {
  load = startLoad({ urls: cluster.urls })
  await until(() => load.cycles() > 20)
})
afterEach(async () => {
  const seen = load.cycles()
  // It goes on after what was done, too.
  await until(() => load.cycles() > seen + 20)
  const { failures, overlaps } = await load.stop()
  assert.deepEqual(failures, [])
  assert.deepEqual(overlaps, [])
})

test('the leader is replaced: the new member learns first and gets its vote, then the old one hands over and goes', async () => {
  const old = (await status()).leader ?? ''
  const { code, stdout, stderr } = await cluster.run('replace', old, '--with', 'fresh', '--port', '0')
  assert.equal(code, 0, stderr)
  assert.match(
    stderr,
    new RegExp(`fresh joins at .*, learning[^$]*fresh has caught up and has its vote[^$]*${old} has been removed`),
  )
  assert.match(stdout, new RegExp(`Replaced ${old} by fresh`))
  const now = await roles()
  assert.equal(now[old], undefined)
  assert.equal(now.fresh, 'voter')
  assert.equal(Object.keys(now).length, 3)
})

test('all members are defragmented, the leader last and no longer leading', async () => {
  const before = await status()
  const { code, stderr, stdout } = await cluster.run('defrag')
  assert.equal(code, 0, stderr)
  const order = [...stderr.matchAll(/^(\S+): [\d.]+ MiB → [\d.]+ MiB$/gm)].map(([, name]) => name)
  assert.equal(order.length, 3)
  assert.equal(order.at(-1), before.leader)
  assert.notEqual((await status()).leader, before.leader)
  assert.match(stdout, /Defragmented 3 members/)
})

test('etcd is upgraded to another release one member at a time, the leader last', async () => {
  const before = await status()
  const { etcd, version } = newerEtcd()
  assert.ok(before.members.every(member => member.version !== version))
  const { code, stderr } = await cluster.run('upgrade', etcd)
  assert.equal(code, 0, stderr)
  const order = [...stderr.matchAll(/^(\S+) has been started anew \(\d of 3\)$/gm)].map(([, name]) => name)
  assert.equal(order.length, 3)
  assert.equal(order.at(-1), before.leader)
  assert.deepEqual(
    plan().map(member => member.etcd),
    [etcd, etcd, etcd],
  )
  const { is_healthy, members } = await status()
  assert.ok(is_healthy)
  assert.deepEqual(
    members.map(member => member.version),
    [version, version, version],
  )
  // As after one that was cut short: what is done is not done again.
  const generations = plan().map(({ generation }) => generation)
  const again = await cluster.run('upgrade', etcd)
  assert.equal(again.code, 0, again.stderr)
  assert.match(again.stderr, /3 of 3 were done before/)
  assert.deepEqual(
    plan().map(({ generation }) => generation),
    generations,
  )
})

test('the quota is changed one member at a time; one that would be full at once is refused', async () => {
  const bytes = 3 * 1024 ** 3
  const { code, stdout, stderr } = await cluster.run('quota', '3GiB', '--json')
  assert.equal(code, 0, stderr)
  assert.deepEqual(JSON.parse(stdout), { quota_bytes: bytes })
  for (const { name } of plan()) assert.ok(commandOf(name).includes(`--quota-backend-bytes=${bytes}`))
  assert.equal((await status()).quota_bytes, bytes)
  const refused = await cluster.run('quota', '1MiB')
  assert.equal(refused.code, 1)
  assert.match(refused.stderr, /A quota is at least 16\.0 MiB/)
})

test('nothing is taken away from a cluster that is not well, and the reason is said', async () => {
  const { members, leader } = await status()
  const ill = members.find(({ name }) => name !== leader)?.name ?? ''
  const well = members.filter(({ name }) => name !== ill).map(({ name }) => name)
  const pid = pidOf(ill)
  process.kill(pid, 'SIGSTOP')
  try {
    for (const args of [['remove', well[0] ?? ''], ['add'], ['defrag']]) {
      const { code, stderr } = await cluster.run(...args)
      assert.equal(code, 1, args.join(' '))
      assert.match(stderr, new RegExp(`Not (removing|adding|defragmenting).*${ill}`), args.join(' '))
    }
    assert.equal(Object.keys(await roles()).length, 3)
    // The one that is ill may go: the others can decide.
    await cluster.ok('replace', ill, '--port', '0')
  } finally {
    try {
      process.kill(pid, 'SIGCONT')
    } catch {
      // It has been replaced, and is gone.
    }
  }
  const now = await roles()
  assert.equal(now[ill], undefined)
  assert.equal(Object.keys(now).length, 3)
})

test('an upgrade to another generation of etcd, or to no etcd at all, is refused before anything is touched', async () => {
  const generations = plan().map(({ generation }) => generation)
  const fake = join(cluster.folder.path, 'etcd-fake')
  for (const [version, expected] of [
    ['3.9.0', /one minor version at a time/],
    ['3.4.30', /older than 3\.5/],
    ['nothing', /does not say its version/],
  ] as const) {
    writeFileSync(fake, `#!/bin/sh\necho "etcd Version: ${version}"\n`)
    chmodSync(fake, 0o755)
    const { code, stderr } = await cluster.run('upgrade', fake)
    assert.equal(code, 1)
    assert.match(stderr, expected)
  }
  assert.deepEqual(
    plan().map(({ generation }) => generation),
    generations,
  )
})

test('a command that is stopped halfway takes back what it had begun', async () => {
  const before = await roles()
  const adding = cluster.begin('add', '--port', '0')
  await until(() => /joins at/.test(adding.stderr()))
  adding.child.kill('SIGINT')
  const { code, stderr } = await adding.ended
  // It may have been done before the signal came.
  if (code !== 0) {
    assert.equal(code, 130, stderr)
    assert.match(stderr, /is taken back/)
    assert.deepEqual(await roles(), before)
  }
  assert.ok((await status()).is_healthy)
})

type Status = {
  leader: string | null
  is_healthy: boolean
  revision: number
  quota_bytes: number
  members: { name: string; role: string; version: string }[]
}

async function status(): Promise<Status> {
  const { stdout, stderr } = await cluster.run('status', '--json')
  assert.notEqual(stdout, '', stderr)
  return JSON.parse(stdout) as Status
}

async function roles(): Promise<Record<string, string>> {
  const { members } = await status()
  return Object.fromEntries(members.map(({ name, role }) => [name, role === 'learner' ? 'learner' : 'voter']))
}

function plan(): { name: string; etcd: string; generation: number }[] {
  const text = readFileSync(join(cluster.data, 'cluster.json'), 'utf8')
  return (JSON.parse(text) as { members: { name: string; etcd: string; generation: number }[] }).members
}

function commandOf(name: string): string {
  return readFileSync(`/proc/${pidOf(name)}/cmdline`, 'utf8')
}

function pidOf(name: string): number {
  const { members } = JSON.parse(readFileSync(join(cluster.data, 'running.json'), 'utf8')) as {
    members: { name: string; process: { pid: number } }[]
  }
  return members.find(member => member.name === name)?.process.pid ?? 0
}

async function until(look: () => boolean): Promise<void> {
  for (let tries = 0; tries < 1_200; tries++) {
    if (look()) return
    await sleep(50)
  }
  throw new Error('it did not come about')
}
