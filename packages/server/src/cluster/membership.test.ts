/** Who joins takes no other member for itself. */
import assert from 'node:assert/strict'
import { mkdtempSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, test } from 'node:test'
import { type Clock, systemClock } from '../clock.ts'
import { ClusterDirectory } from './directory.ts'
import { ClusterStopped } from './failure.ts'
import { remove } from './files.ts'
import { joinAs } from './membership.ts'

const folder = mkdtempSync(join(tmpdir(), 'holdfast-membership.'))
after(() => remove(folder))

test('a member that would join at the address of another one is refused, and the other one stays', async () => {
  const directory = new ClusterDirectory(folder)
  directory.create({ token: 'test', quotaBytes: 1, root: 'holdfast', members: [] })
  const m2 = { name: 'm2', id: 2n, url: 'https://10.0.0.2:2379', peerUrl: 'https://10.0.0.2:2380', trouble: null }
  const asked: string[] = []
  const calls = new Proxy({}, { get: (_, name) => () => asked.push(String(name)) })
  const doors = { look: async () => ({ members: [m2], leader: m2, alarms: [] }), calls: () => calls }
  const progress = { say: () => undefined, update: () => undefined }
  // What is asked of the doors until it is refused.
  const work = {
    ...{ directory, doors, progress, clock: systemClock, signal: AbortSignal.timeout(60_000) },
  } as unknown as Parameters<typeof joinAs>[0]
  const start = { state: 'existing' as const, initialCluster: '' }
  const m3 = { name: 'm3', host: '10.0.0.2', clientPort: 2379, peerPort: 2380, etcd: 'etcd', generation: 1, start }
  const message = /m2 is a member already and is reached at https:\/\/10\.0\.0\.2:2380: m3 needs/
  await assert.rejects(joinAs(work, m3), { name: 'ClusterFailure', message })
  assert.deepEqual(asked, [])
  assert.deepEqual(directory.plan().members, [])
})

test('a member that cannot be taken back stays in the plan; that is told, and so is why it was to be taken back', async () => {
  const directory = new ClusterDirectory(join(folder, 'stays'))
  directory.create({ token: 'test', quotaBytes: 1, root: 'holdfast', members: [] })
  const m2 = { name: 'm2', id: 2n, peerUrl: 'https://10.0.0.2:2380', status: {}, trouble: null, isLearner: false }
  const members: object[] = [m2]
  const controller = new AbortController()
  const calls = {
    memberAdd: async ({ peerUrls: [peerUrl] }: { peerUrls: string[] }) => {
      members.push({ name: '', id: 3n, peerUrl, status: null, trouble: 'has not been started yet', isLearner: true })
    },
    memberRemove: async () => {
      throw new Error('etcdserver: no leader')
    },
  }
  const doors = { look: async () => ({ members, leader: m2, alarms: [] }), calls: () => calls }
  const said: string[] = []
  const say = (text: string) => {
    said.push(text)
    // Ctrl-C, while it learns.
    if (text.includes('learning')) controller.abort()
  }
  // Half a minute goes by in a moment.
  const clock: Clock = {
    ...systemClock,
    hrtimeMs: () => systemClock.hrtimeMs() * 1_000,
    after: (_ms, act) => systemClock.after(1, act),
  }
  // What is asked of the doors.
  const work = { directory, doors, progress: { say, update: () => undefined }, clock, signal: controller.signal }
  const start = { state: 'existing' as const, initialCluster: '' }
  const m3 = { name: 'm3', host: '10.0.0.3', clientPort: 2379, peerPort: 2380, etcd: 'etcd', generation: 1, start }
  await assert.rejects(joinAs(work as unknown as Parameters<typeof joinAs>[0], m3), ClusterStopped)
  assert.match(said[1] ?? '', /^m3 is taken back: Stopped/)
  assert.match(
    said[2] ?? '',
    /^m3 could not be taken back.*no leader\)\. .*`holdfast cluster remove m3` takes it out\.$/,
  )
  assert.deepEqual(
    directory.plan().members.map(({ name }) => name),
    ['m3'],
  )
})
