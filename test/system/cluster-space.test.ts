/** A database that has reached its quota: it is told, and the two commands bring it back. On one member, which is a cluster too. */
import { strict as assert } from 'node:assert'
import { join } from 'node:path'
import { after, before, test } from 'node:test'
import { systemClock } from '../../packages/server/src/clock.ts'
import { EtcdClient } from '../../packages/server/src/engine/etcd/client.ts'
import { EtcdError } from '../../packages/server/src/engine/etcd/errors.ts'
import { startCluster, type TestCluster } from '../harness/cluster.ts'

let cluster: TestCluster

before(async () => {
  cluster = await startCluster({ members: 1, flags: ['--quota-bytes', '16MiB'] })
})
after(() => cluster.stop())

test('an alarm about space is shown, and ended by compact and defrag', async () => {
  await fill()
  const full = await cluster.run('status', '--json')
  assert.equal(full.code, 1)
  assert.match(full.stdout, /"alarm": "NOSPACE"/)
  const found = await cluster.doctor()
  assert.equal(found.code, 1)
  assert.match(found.stdout, /PROBLEM +alarm NOSPACE of m1\n *→ holdfast cluster compact, then holdfast cluster defrag/)
  await cluster.ok('compact', '--after', '0')
  const { code, stderr } = await cluster.run('defrag')
  assert.equal(code, 0, stderr)
  assert.match(stderr, /m1: \d\d\.\d MiB → \d\.\d MiB[\s\S]*the alarm about space has been ended/)
  const again = JSON.parse(await cluster.ok('status', '--json')) as { alarms: unknown[]; is_healthy: boolean }
  assert.deepEqual(again.alarms, [])
  assert.equal(again.is_healthy, true)
})

/** One key, written until there is no room for what it was before. */
async function fill(): Promise<void> {
  const pem = join(cluster.data, 'client.pem')
  const { members } = JSON.parse(await cluster.ok('status', '--json')) as { members: { url: string }[] }
  const client = new EtcdClient({
    urls: members.map(({ url }) => url),
    clock: systemClock,
    tls: { caFile: join(cluster.data, 'ca.pem'), certificate: { certificateFile: pem, keyFile: pem } },
  })
  try {
    for (let count = 0; count < 64; count++) {
      const put = { key: Buffer.from('filler'), value: Buffer.alloc(512 * 1024, count) }
      await client.txn({ success: [{ requestPut: put }] }, 10_000)
    }
    throw new Error('it was never full')
  } catch (error) {
    if (!(error instanceof EtcdError && error.kind === 'no_space')) throw error
  } finally {
    client.close()
  }
}
