/** `holdfast cluster`: members that are made, run, looked at, started again; on one machine and on several. */
import { strict as assert } from 'node:assert'
import { existsSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs'
import { get, type RequestOptions } from 'node:https'
import { join } from 'node:path'
import { after, before, test } from 'node:test'
import { setTimeout as sleep } from 'node:timers/promises'
import { connect } from '@holdfast/client'
import { systemClock } from '../../packages/server/src/clock.ts'
import { Authority } from '../../packages/server/src/cluster/certificates.ts'
import { systemRandom } from '../../packages/server/src/random.ts'
import { cli, startCli } from '../harness/cli.ts'
import { etcdEnvironment, startCluster, type TestCluster } from '../harness/cluster.ts'
import { rootKey } from '../harness/server.ts'

let cluster: TestCluster

before(async () => {
  cluster = await startCluster({ servers: 2 })
})
after(() => cluster.stop())

test('the printed line starts servers, and locks are held over them', async () => {
  for (const url of cluster.urls) {
    await using holdfast = connect({ url, apiKey: rootKey })
    await using lock = await holdfast.acquire('printed')
    assert.ok(lock.token > 0)
  }
})

test('nobody else on the machine can read keys or data', () => {
  const open: string[] = []
  for (const entry of readdirSync(cluster.data, { recursive: true, withFileTypes: true })) {
    const path = join(entry.parentPath, entry.name)
    const isInData = path.includes('/data/')
    if (!isInData && (statSync(path).mode & 0o077) !== 0) open.push(path)
  }
  assert.deepEqual(open, [])
  assert.equal(statSync(cluster.data).mode & 0o777, 0o700)
})

test('a member is not talked to without a certificate of the cluster', async () => {
  const [member] = (await status()).members
  const ca = readFileSync(join(cluster.data, 'ca.pem'), 'utf8')
  const own = readFileSync(join(cluster.data, 'client.pem'), 'utf8')
  const foreign = Authority.create('foreign', { clock: systemClock, random: systemRandom })
  const other = foreign.issue(
    { name: 'other', purpose: 'client', hosts: [] },
    { clock: systemClock, random: systemRandom },
  )
  assert.equal(await healthOf(member?.url ?? '', { ca, cert: own, key: own }), 200)
  await assert.rejects(healthOf(member?.url ?? '', { ca }))
  await assert.rejects(healthOf(member?.url ?? '', { ca, cert: other, key: other }))
  await assert.rejects(healthOf(member?.url ?? '', { cert: own, key: own }), /self-signed|unable to/)
})

test('status tells members, leader, sizes, versions, servers and who owns which shard', async () => {
  const found = await status()
  assert.equal(found.is_healthy, true)
  assert.equal(found.spare_members, 1)
  assert.deepEqual(
    found.members.map(({ name, trouble }) => ({ name, trouble })),
    ['m1', 'm2', 'm3'].map(name => ({ name, trouble: null })),
  )
  assert.equal(found.members.filter(({ role }) => role === 'leader').length, 1)
  for (const { version, db_bytes, db_live_bytes, lag } of found.members) {
    assert.match(version, /^3\.\d+\.\d+/)
    assert.ok(db_bytes >= db_live_bytes && db_live_bytes > 0)
    assert.ok(lag >= 0)
  }
  assert.deepEqual(
    found.store.servers.map(({ is_beating }) => is_beating),
    [true, true],
  )
  const servers = found.store.servers.map(({ server }) => server)
  assert.equal(found.store.shards.length, 8)
  for (const { server, epoch } of found.store.shards) {
    assert.ok(servers.includes(server))
    assert.ok(epoch > 0)
  }
  const text = await cluster.ok('status')
  for (const expected of [/healthy, 1 more may fail/, /leader/, /owns shards/, /s1\.[0-9a-f]+ +alive/]) {
    assert.match(text, expected)
  }
})

test('a member that dies is started again, and meanwhile status says who is missing and ends with 1', async () => {
  const before = running()
  const pid = before.get('m2') ?? 0
  process.kill(pid, 'SIGSTOP')
  const seen = await cluster.run('status', '--json')
  process.kill(pid, 'SIGKILL')
  const found = JSON.parse(seen.stdout) as Status
  assert.equal(seen.code, 1)
  assert.equal(found.members.find(({ name }) => name === 'm2')?.trouble, 'does not answer')
  assert.equal(found.spare_members, 0)
  assert.equal(found.is_healthy, false)
  await until(async () => ((await status()).is_healthy ? true : null))
  assert.notEqual(running().get('m2'), before.get('m2'))
  assert.match(cluster.up?.stderr() ?? '', /m2 ended with SIGKILL.*started again in 0\.5 s/)
})

test('what could not work is refused before anything is written', async () => {
  const data = join(cluster.folder.path, 'refused')
  for (const [args, expected] of [
    [['init', '--host', ''], /Say an address or a name of a machine/],
    [['up', '--every', '0s'], /Backups are made once a second at the most/],
    // At a boot, before its disk is mounted.
    [['up'], /There is no cluster in .*refused\. Is a disk not mounted/],
    [
      ['init', '--host', '127.0.0.1', '--port', new URL(cluster.urls[0] ?? '').port],
      /Port \d+ of 127\.0\.0\.1 is taken/,
    ],
  ] as const) {
    const { code, stderr } = await cli(['cluster', ...args, '--data', data], { url: '', env: etcdEnvironment() })
    assert.notEqual(code, 0)
    assert.match(stderr, expected)
  }
  assert.ok(!existsSync(data))
})

test('two processes do not run one directory', async () => {
  const { code, stderr } = await cluster.run('up')
  assert.equal(code, 1)
  assert.match(stderr, /is run by process \d+ already/)
})

test('after kill -9 of `up` the next one finds the members that were left, and resumes them', async () => {
  await using holdfast = connect({ url: cluster.urls[0] ?? '', apiKey: rootKey })
  await using lock = await holdfast.acquire('kept')
  const up = cluster.up
  up?.child.kill('SIGKILL')
  await up?.ended
  const before = running()
  await cluster.startUp([])
  assert.match(cluster.up?.stderr() ?? '', /m1 still runs from before/)
  for (const [name, pid] of running()) assert.notEqual(pid, before.get(name))
  // Servers miss beats while the members are started anew.
  await until(async () => ((await status()).is_healthy ? true : null))
  assert.ok(!lock.signal.aborted)
  assert.equal(await holdfast.tryAcquire('kept'), null)
})

test('of two `up` at once after a kill -9 one runs the members, and the other says who does', async () => {
  cluster.up?.child.kill('SIGKILL')
  await cluster.up?.ended
  const both = [cluster.begin('up'), cluster.begin('up')]
  const first = await Promise.race(both.map(async up => ({ up, ...(await up.ended) })))
  const winner = both.find(up => up !== first.up)
  cluster.up = winner ?? null
  assert.equal(first.code, 1, first.stderr)
  assert.match(first.stderr, new RegExp(`is run by process ${winner?.child.pid} already`))
  await winner?.says(/^holdfast serve .*$/m)
  assert.equal((await status()).is_healthy, true)
  assert.equal(running().size, 3)
})

test('mistakes of whoever runs it are refused with a sentence, and are no bugs', async () => {
  const data = join(cluster.folder.path, 'mistaken')
  const refused = async (...args: string[]) => {
    const { code, stderr } = await cli(['cluster', ...args], { url: '', env: etcdEnvironment() })
    assert.equal(code, 1, stderr)
    assert.doesNotMatch(stderr, /bug|\n +at /)
    return stderr
  }
  const none = join(cluster.folder.path, 'no-invitation')
  writeFileSync(none, 'a-machine\n')
  assert.match(await refused('join', none, '--data', data), /no-invitation is no invitation: expected the file that/)
  assert.match(await refused('rotate-certs', '--from', none, '--data', cluster.data), /no-invitation is no invitation/)
  assert.match(await refused('backup', '/nonexistent/x.db', '--data', cluster.data), /there is no folder \/nonexistent/)
  assert.match(await refused('up', '--members', '3', '--data', none), /there is a file on the way/)
})

test('a stop ends every member, and another `up` has the same ones', async () => {
  const before = await status()
  await cluster.stopServers()
  const unserved = await cluster.run('status')
  assert.equal(unserved.code, 1)
  assert.match(unserved.stdout, /DOWN: no server is alive[\s\S]*PROBLEM: no Holdfast server is alive\n→ Start some/)
  const pids = [...running().values()]
  const ended = await cluster.stopUp()
  assert.equal(ended?.code, 0)
  for (const pid of pids) assert.throws(() => process.kill(pid, 0))
  const { code, stderr } = await cluster.run('status')
  assert.equal(code, 1)
  assert.match(stderr, /No member of the cluster .* answers; does `holdfast cluster up --data/)
  await cluster.startUp([])
  const now = await status()
  assert.equal(now.cluster_id, before.cluster_id)
  assert.deepEqual(
    now.members.map(({ id }) => id),
    before.members.map(({ id }) => id),
  )
})

test('on several machines: init, invite, join, each in a directory of its own', async () => {
  const first = join(cluster.folder.path, 'machine-1')
  const second = join(cluster.folder.path, 'machine-2')
  const file = join(cluster.folder.path, 'm2.join')
  const run = (...args: string[]) => cli(['cluster', ...args], { url: '', env: etcdEnvironment() })
  const made = await run('init', '--host', '127.0.0.1', '--port', '0', '--data', first)
  assert.equal(made.code, 0, made.stderr)
  const one = startCli(['cluster', 'up', '--data', first], { url: '', env: etcdEnvironment() })
  await one.says(/1 of 1 members/)
  const taken = await run('invite', 'm2', '--host', '127.0.0.1', '--port', '24790', '--to', file, '--data', first)
  assert.equal(taken.code, 0, taken.stderr)
  assert.match(taken.stdout, /^ {2}holdfast cluster join m2\.join --data/m)
  assert.equal(statSync(file).mode & 0o777, 0o600)
  assert.ok(!readFileSync(file, 'utf8').includes(authorityKey(first)))
  const two = startCli(['cluster', 'join', file, '--data', second], { url: '', env: etcdEnvironment() })
  await two.says(/2 of 2 members/)
  assert.ok(!existsSync(join(second, 'authority')))
  for (const data of [first, second]) {
    const { stdout } = await run('status', '--json', '--data', data)
    const found = JSON.parse(stdout) as Status
    assert.deepEqual(
      found.members.map(({ name, trouble, role }) => ({ name, trouble, isLearner: role === 'learner' })),
      ['m1', 'm2'].map(name => ({ name, trouble: null, isLearner: false })),
    )
  }
  // New certificates for the machine that joined: another file from the first one, and nobody is started anew.
  const before = readFileSync(join(second, 'members/m2/server.pem'), 'utf8')
  await run('invite', 'm2', '--host', '127.0.0.1', '--to', file, '--data', first)
  const renewed = await run('rotate-certs', '--from', file, '--data', second)
  assert.equal(renewed.code, 0, renewed.stderr)
  assert.notEqual(readFileSync(join(second, 'members/m2/server.pem'), 'utf8'), before)
  assert.equal((await run('status', '--data', second)).code, 0)
  const refused = await run('rotate-certs', '--data', second)
  assert.equal(refused.code, 1)
  assert.match(refused.stderr, /on the machine where the cluster was begun/)
  const elsewhere = await run('invite', 'm2', '--host', '10.0.0.2', '--to', `${file}.not`, '--data', first)
  assert.match(elsewhere.stderr, /m2 is a member already, and the others reach it at 127\.0\.0\.1/)
  assert.ok(!existsSync(`${file}.not`))
  // Its machine hears of it, and does not start again for ever what can never come back.
  const removed = await run('remove', 'm2', '--data', first, '--json')
  assert.deepEqual([removed.code, JSON.parse(removed.stdout)], [0, { removed: 'm2' }], removed.stderr)
  while (!/m2 has been removed from the cluster, and is not started any more/.test(two.stderr())) await sleep(50)
  for (const up of [two, one]) {
    up.child.kill('SIGTERM')
    assert.equal((await up.ended).code, 0)
  }
  const again = await run('up', '--data', second)
  assert.deepEqual([again.code, /All members of .*machine-2 have been removed/.test(again.stderr)], [1, true])
  assert.match((await run('join', file, '--data', second)).stderr, /a cluster in .* already\. A machine whose member/)
  rmSync(join(second, 'cluster.json'))
  assert.match((await run('join', file, '--data', second)).stderr, /There are data of a former member in .*m2\/data/)
})

function healthOf(url: string, identity: RequestOptions): Promise<number | undefined> {
  return new Promise((resolve, reject) => {
    const asking = get(`${url}/health`, { ...identity, agent: false }, response => {
      response.resume()
      resolve(response.statusCode)
    })
    asking.once('error', reject)
  })
}

type Status = {
  is_healthy: boolean
  spare_members: number
  cluster_id: string
  members: {
    name: string
    id: string
    url: string | null
    role: string
    trouble: string | null
    version: string
    db_bytes: number
    db_live_bytes: number
    lag: number
  }[]
  store: {
    servers: { server: string; is_beating: boolean }[]
    shards: { shard: number; server: string; epoch: number }[]
  }
}

async function status(): Promise<Status> {
  const { stdout, stderr } = await cluster.run('status', '--json')
  assert.notEqual(stdout, '', stderr)
  return JSON.parse(stdout) as Status
}

/** The processes of the members. */
function running(): Map<string, number> {
  const { members } = JSON.parse(readFileSync(join(cluster.data, 'running.json'), 'utf8')) as {
    members: { name: string; process: { pid: number } | null }[]
  }
  return new Map(members.flatMap(({ name, process: facts }) => (facts ? [[name, facts.pid]] : [])))
}

async function until<Found>(look: () => Promise<Found | null>): Promise<Found> {
  for (let tries = 0; tries < 200; tries++) {
    const found = await look()
    if (found !== null) return found
    await sleep(50)
  }
  throw new Error('it did not come about')
}

function authorityKey(data: string): string {
  const pem = readFileSync(join(data, 'authority', 'authority.pem'), 'utf8')
  return /-----BEGIN PRIVATE KEY-----\n(.*)\n/.exec(pem)?.[1] ?? ''
}
