/** Members whose data are gone: they do not begin anew under the name of those that were, and nothing that was granted is granted again. */
import { strict as assert } from 'node:assert'
import { renameSync, rmSync } from 'node:fs'
import { join } from 'node:path'
import { after, before, test } from 'node:test'
import { setTimeout as sleep } from 'node:timers/promises'
import { connect } from '@holdfast/client'
import type { Cli } from '../harness/cli.ts'
import { startCluster, type TestCluster } from '../harness/cluster.ts'
import { rootKey } from '../harness/server.ts'

let cluster: TestCluster

before(async () => {
  cluster = await startCluster({ servers: 1 })
})
after(() => cluster.stop())

const dataOf = (member: string) => join(cluster.data, 'members', member, 'data')

/** On either of its outputs. */
async function says(up: Cli, pattern: RegExp): Promise<void> {
  for (let looks = 0; !pattern.test(up.stdout() + up.stderr()); looks++) {
    assert.ok(looks < 600, `it has not said ${pattern}: ${up.stdout()}${up.stderr()}`)
    await sleep(100)
  }
}

/** Over the server that is there now, which goes on with what the one before has remembered. */
async function tokenOf(name: string): Promise<number> {
  const data = join(cluster.folder.path, 'server-1')
  if (cluster.servers.length === 0) await cluster.startServer({ data })
  await using holdfast = connect({ url: cluster.urls, apiKey: rootKey })
  return (await holdfast.acquire(name)).token
}

test('a member without its data is not started, the others serve on, and it can be replaced', async () => {
  const before = await tokenOf('lost')
  await cluster.stopServers()
  await cluster.stopUp()
  rmSync(dataOf('m1'), { recursive: true })
  const up = await cluster.startUp([])
  await says(up, /m1 is not started: it has run before, and its data are not in .*: `holdfast cluster replace m1`/)
  assert.ok((await tokenOf('lost')) > before)
  await cluster.ok('replace', 'm1', '--with', 'fresh', '--port', '0')
  const { code, stdout } = await cluster.run('status', '--json')
  assert.equal(code, 0, stdout)
  const { members } = JSON.parse(stdout) as { members: { name: string }[] }
  assert.deepEqual(members.map(({ name }) => name).sort(), ['fresh', 'm2', 'm3'])
})

test('when all data are away no empty store takes their place, and when they are back all goes on', async () => {
  const before = await tokenOf('lost')
  await cluster.stopServers()
  await cluster.stopUp()
  const members = ['fresh', 'm2', 'm3']
  for (const member of members) renameSync(dataOf(member), `${dataOf(member)}-away`)
  const up = cluster.begin('up')
  try {
    for (const member of members) await says(up, new RegExp(`${member} is not started: it has run before`))
    assert.doesNotMatch(up.stdout() + up.stderr(), /etcd is ready/)
    for (const member of members) renameSync(`${dataOf(member)}-away`, dataOf(member))
    const [line] = await up.says(/^holdfast serve .*$/m)
    cluster.use(line)
    assert.ok((await tokenOf('lost')) > before)
  } finally {
    await cluster.stopServers()
    up.child.kill('SIGTERM')
    await up.ended
  }
})

test('a member that comes again under the name of one that was removed begins with nothing', async () => {
  await cluster.startUp([])
  await cluster.ok('add', 'm9', '--port', '0')
  await cluster.ok('remove', 'm9')
  await cluster.ok('add', 'm9', '--port', '0')
  await tokenOf('lost')
  const { code, stdout } = await cluster.run('status', '--json')
  assert.equal(code, 0, stdout)
  assert.match(stdout, /"name": ?"m9"/)
})
