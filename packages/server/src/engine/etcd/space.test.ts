/** A store that fills up, is tended, and has room again; and one that is taken back in time by a restore. */
import assert from 'node:assert/strict'
import { spawnSync } from 'node:child_process'
import { createHash } from 'node:crypto'
import { once } from 'node:events'
import { createWriteStream, readFileSync, rmSync } from 'node:fs'
import { join } from 'node:path'
import { test } from 'node:test'
import { setTimeout as sleep } from 'node:timers/promises'
import { type EtcdCluster, etcdPrograms, startEtcd } from '../../../../../test/harness/etcd.ts'
import { systemClock } from '../../clock.ts'
import { EngineFatal, EngineRefusal } from '../engine.ts'
import type { EtcdClient } from './client.ts'
import { EtcdError } from './errors.ts'
import { type EtcdEngine, type EtcdOptions, openEtcd } from './etcd.ts'
import { alarmType } from './messages.ts'
import { Space, type SpaceSettings, spaceSettings } from './space.ts'

const QUOTA_BYTES = 16 * 1024 * 1024
const value = Buffer.alloc(256 * 1024, 1)

async function withQuota(
  act: (at: { cluster: EtcdCluster; engine: EtcdEngine }) => Promise<void>,
  members = 1,
  settings: Partial<SpaceSettings> = {},
  more: Partial<EtcdOptions> = {},
): Promise<void> {
  const cluster = await startEtcd({ members, flags: [`--quota-backend-bytes=${QUOTA_BYTES}`] })
  const space = { retainMs: 0, compactRevisions: 1, betweenMs: 0, betweenFullMs: 0, ...settings }
  const engine = await openEtcd({ urls: cluster.urls, clock: systemClock, quotaBytes: QUOTA_BYTES, space, ...more })
  try {
    await act({ cluster, engine })
  } finally {
    await engine.close()
    await cluster.stop()
  }
}

/** Overwrites one key until the store refuses. Returns the revision it is at. */
async function fill(engine: EtcdEngine): Promise<number> {
  let modRevision = 0
  for (let step = 0; step < 500; step++) {
    const commit = { checks: [{ key: 'full', modRevision }], writes: [{ key: 'full', value }] }
    const outcome = await engine.commit(commit).catch((error: unknown) => error)
    if (outcome instanceof EngineRefusal && outcome.reason === 'storage_full') return modRevision
    // A put that reached the quota may have been applied and refused at once: then its checks find it.
    if (outcome instanceof Error) throw outcome
    const result = outcome as Awaited<ReturnType<EtcdEngine['commit']>> // what is no error is a result
    modRevision = result.ok ? result.revision : result.found[0]!.modRevision
  }
  throw new Error('it was never full')
}

/** Tends it as the service does, with its beats between, until this is so. */
async function tendUntil(engine: EtcdEngine, isSo: () => Promise<boolean>): Promise<void> {
  for (let round = 0; round < 1_000; round++) {
    await engine.tend()
    if (await isSo()) return
    await beat(engine)
    await sleep(50)
  }
  assert.fail('tending did not help')
}

async function beat(engine: EtcdEngine): Promise<void> {
  const commit = { checks: [], writes: [{ key: 'beat', value: Buffer.from('x') }] }
  // A full store takes none, and whether it has become one is what the test looks at.
  await engine.commit(commit).catch(() => undefined)
}

/** Overwrites one key until the file of every member has more than 70 % of the quota, or `steps` of a 64th, and less than all of it. */
async function grow(engine: EtcdEngine, steps = 49): Promise<void> {
  for (let step = 0; step < steps; step++) {
    try {
      await engine.commit({ checks: [], writes: [{ key: 'large', value }] })
    } catch (error) {
      // On a busy machine the file takes more than was written; then it is as large as can be.
      if (!(error instanceof EtcdError) || error.kind !== 'no_space') throw error
      break
    }
  }
  const share = (steps - 3) / 64
  const isLarge = async (url: string) => (await engine.client.at(url).status()).dbSize > share * QUOTA_BYTES
  for (let round = 0; round < 100; round++) {
    if ((await Promise.all(engine.client.urls.map(isLarge))).every(Boolean)) return
    // Sizes are those of the last time that the file was written to, ten times a second while there is something to write.
    await beat(engine)
    await sleep(50)
  }
  assert.fail('it did not grow')
}

const isFull = async (engine: EtcdEngine) => {
  const { usedBytes, quotaBytes } = await engine.size()
  return usedBytes >= quotaBytes!
}

test('a full store refuses puts for certain, takes deletes, says so in its size, and has room again once it was tended', () =>
  withQuota(async ({ engine }) => {
    const modRevision = await fill(engine)
    assert.ok(await isFull(engine))
    // Only what was superseded fills it: one key is there.
    const put = { checks: [{ key: 'full', modRevision }], writes: [{ key: 'full', value }] }
    await assert.rejects(engine.commit(put), EngineRefusal)
    assert.equal((await engine.read('full'))?.modRevision, modRevision)
    const removed = await engine.commit({ checks: put.checks, writes: [{ key: 'full', delete: true }] })
    assert.ok(removed.ok)
    await tendUntil(engine, async () => !(await isFull(engine)))
    assert.ok((await engine.commit({ checks: [], writes: [{ key: 'full', value }] })).ok)
    const { usedBytes, liveBytes } = await engine.size()
    assert.ok(usedBytes < QUOTA_BYTES / 2 && liveBytes <= usedBytes)
  }))

test('a store that is tended while it is written to does not fill up', () =>
  withQuota(async ({ engine }) => {
    for (let step = 0; step < 300; step++) {
      assert.ok((await engine.commit({ checks: [], writes: [{ key: 'busy', value }] })).ok, `step ${step}`)
      if (step % 10 === 0) await engine.tend()
    }
  }))

test('three members are defragmented one after another, none of them while it leads, and no commit is lost', () =>
  withQuota(async ({ engine }) => {
    await grow(engine)
    const defragmented = seeDefragmentations(engine)
    const sizes = () => Promise.all(engine.client.urls.map(async url => (await engine.client.at(url).status()).dbSize))
    await tendUntil(engine, async () => (await sizes()).every(bytes => bytes < 0.5 * QUOTA_BYTES))
    assert.deepEqual(defragmented.map(({ url }) => url).sort(), [...engine.client.urls].sort())
    assert.ok(defragmented.every(({ isLeader }) => !isLeader))
    assert.ok((await engine.commit({ checks: [], writes: [{ key: 'three', value }] })).ok)
  }, 3))

const HOUR_MS = 3_600_000

test('while so little room is left that acquires are refused, no long pause lies between two defragmentations', () =>
  withQuota(
    async ({ engine }) => {
      await grow(engine, 57)
      const sizes = () =>
        Promise.all(engine.client.urls.map(async url => (await engine.client.at(url).status()).dbSize))
      await tendUntil(engine, async () => (await sizes()).every(bytes => bytes < 0.8 * QUOTA_BYTES))
    },
    3,
    { betweenMs: HOUR_MS },
  ))

test('what was too new to be forgotten at one compaction is forgotten at the next, though hardly anything is written', () => {
  const retainMs = 400
  return withQuota(
    async ({ engine }) => {
      await engine.tend()
      await grow(engine, 8)
      await sleep(retainMs)
      await grow(engine, 48)
      // Sizes have to be as they are: what is not told yet would look like growth.
      await sleep(retainMs)
      // Due, and on a machine with time to spare it reaches no further than to what was there at the look before.
      await engine.tend()
      await tendUntil(engine, async () => (await engine.size()).usedBytes < 0.8 * QUOTA_BYTES)
    },
    1,
    { retainMs, compactRevisions: Number.POSITIVE_INFINITY },
  )
})

test('a defragmentation of a full store that came before the compaction was through is tried again', () =>
  withQuota(
    async ({ engine }) => {
      const { client } = engine
      await fill(engine)
      const at = client.at.bind(client)
      let early = 0
      client.at = url => {
        const calls = at(url)
        const defragment = calls.defragment.bind(calls)
        // As one that finds nothing to give back.
        calls.defragment = timeoutMs => (++early <= 1 ? calls.status() : defragment(timeoutMs))
        return calls
      }
      await tendUntil(engine, async () => !(await isFull(engine)))
      assert.ok(early > 1)
    },
    1,
    { againMs: 300 },
  ))

test('a store whose quota is smaller than was said shows how large it is by its alarm: it is told, kept to, and has room again', () => {
  const troubles: string[] = []
  const onTrouble = ({ what }: { what: string }) => void troubles.push(what)
  return withQuota(
    async ({ engine, cluster }) => {
      assert.equal((await engine.size()).quotaBytes, 8 * QUOTA_BYTES)
      await fill(engine)
      const { usedBytes, quotaBytes } = await engine.size()
      assert.equal(usedBytes, quotaBytes)
      // On a busy machine the file takes more than was written; on a fast one much is written until etcd looks.
      assert.ok(usedBytes > 0.8 * QUOTA_BYTES && usedBytes < 8 * QUOTA_BYTES, `${usedBytes}`)
      await tendUntil(engine, async () => !(await isFull(engine)))
      const after = await engine.size()
      assert.ok(after.usedBytes < after.quotaBytes! / 2, `${after.usedBytes} of ${after.quotaBytes}`)
      assert.equal(after.quotaBytes, quotaBytes)
      assert.deepEqual(troubles, [
        `etcd is full with ${quotaBytes} bytes, not with ${8 * QUOTA_BYTES}: give servers the quota that it has (--etcd-quota-bytes), or it a larger one`,
      ])
      // Who begins while the alarm is up has not seen how large the file was when it came: after the next one it has.
      await fill(engine)
      const late = await openEtcd({ urls: cluster.urls, clock: systemClock, quotaBytes: 8 * QUOTA_BYTES, onTrouble })
      try {
        assert.equal((await late.size()).quotaBytes, 8 * QUOTA_BYTES)
      } finally {
        await late.close()
      }
    },
    1,
    {},
    { quotaBytes: 8 * QUOTA_BYTES, onTrouble },
  )
})

test('a larger quota is believed as soon as the file has passed what the alarm had shown', async () => {
  const sizes = { dbSize: 10, dbSizeInUse: 5, dbSizeQuota: 0 }
  let isAlarmed = false
  const client = {
    urls: ['a'],
    at: () => ({ status: async () => sizes }),
    alarms: async () => (isAlarmed ? [nospace] : []),
  }
  const nospace = { memberID: 1n, alarm: alarmType.NOSPACE }
  // Only what `size` asks.
  const space = new Space({
    client: client as unknown as EtcdClient,
    clock: systemClock,
    quotaBytes: 100,
    settings: spaceSettings,
  })
  const quota = async () => (await space.size()).quotaBytes
  assert.equal(await quota(), 100)
  isAlarmed = true
  sizes.dbSize = 20
  assert.equal(await quota(), 20)
  isAlarmed = false
  sizes.dbSize = 4
  assert.equal(await quota(), 20)
  // The alarm of a file that was made smaller meanwhile says nothing of the quota.
  sizes.dbSize = 3
  isAlarmed = true
  assert.equal(await quota(), 20)
  isAlarmed = false
  sizes.dbSize = 21
  assert.equal(await quota(), 100)
})

/** Who is told to, and whether it leads as it is told. */
function seeDefragmentations({ client }: EtcdEngine): { url: string; isLeader: boolean }[] {
  const seen: { url: string; isLeader: boolean }[] = []
  const at = client.at.bind(client)
  client.at = url => {
    const calls = at(url)
    const defragment = calls.defragment.bind(calls)
    calls.defragment = async timeoutMs => {
      const { header, leader } = await calls.status()
      seen.push({ url, isLeader: header?.memberId === leader })
      return defragment(timeoutMs)
    }
    return calls
  }
  return seen
}

test('while a member is away nobody is defragmented', () =>
  withQuota(async ({ cluster, engine }) => {
    await grow(engine)
    const leader = await cluster.leader()
    const away = cluster.members.find(member => member !== leader)!
    await away.kill()
    const status = () => engine.client.at(leader.url).status()
    await tendUntil(engine, async () => (await status()).dbSizeInUse < 0.3 * QUOTA_BYTES)
    for (let round = 0; round < 3; round++) await engine.tend()
    assert.ok((await status()).dbSize > 0.7 * QUOTA_BYTES, 'compacted, and not defragmented')
  }, 3))

test('a store that is taken back by a restore, under the same name and with the same cluster id, is not served from', async () => {
  const cluster = await startEtcd()
  const [member] = cluster.members
  const engine = await openEtcd({ urls: cluster.urls, clock: systemClock })
  try {
    for (let step = 0; step < 5; step++)
      await engine.commit({ checks: [], writes: [{ key: 'kept', value: Buffer.from('x') }] })
    const file = join(cluster.folder, 'backup.db')
    await backUp(engine, member!.url, file)
    for (let step = 0; step < 5; step++)
      await engine.commit({ checks: [], writes: [{ key: 'lost', value: Buffer.from('x') }] })
    const { clusterId, revision } = engine.seen
    await member!.kill()
    restore(cluster, file)
    cluster.start(member!)
    await cluster.ready(member!)
    const late = {
      checks: [{ key: 'lost', modRevision: revision }],
      writes: [{ key: 'lost', value: Buffer.from('y') }],
    }
    const outcome = await untilAnswered(() => engine.commit(late))
    assert.ok(outcome instanceof EngineFatal, String(outcome))
    assert.match(outcome.message, /gone back in time/)
    await assert.rejects(engine.read('kept'), EngineFatal)
    // The id of the cluster alone would not have told.
    const again = await openEtcd({ urls: cluster.urls, clock: systemClock })
    assert.equal(again.seen.clusterId, clusterId)
    assert.ok(again.seen.revision < revision)
    await again.close()
    // Who remembers what an earlier start has seen refuses with its first commit.
    const known = { clusterId: clusterId!, revision }
    const remembering = await openEtcd({ urls: cluster.urls, clock: systemClock, known })
    await assert.rejects(remembering.read('kept'), EngineFatal)
    await remembering.close()
  } finally {
    await engine.close()
    await cluster.stop()
  }
})

/** A snapshot by our own client; its last 32 bytes are the sum of the others. */
async function backUp(engine: EtcdEngine, url: string, file: string): Promise<void> {
  const stream = createWriteStream(file)
  for await (const { blob } of engine.client.snapshot(url)) stream.write(blob)
  stream.end()
  await once(stream, 'close')
  const bytes = readFileSync(file)
  const sum = createHash('sha256').update(bytes.subarray(0, -32)).digest()
  assert.equal(sum.compare(bytes.subarray(-32)), 0)
}

function restore(cluster: EtcdCluster, file: string): void {
  const [member] = cluster.members
  rmSync(member!.dataDirectory, { recursive: true })
  const names = [`--name=${member!.name}`, `--initial-cluster=${cluster.initialCluster}`]
  const place = [`--initial-advertise-peer-urls=${member!.peerUrl}`, `--data-dir=${member!.dataDirectory}`]
  const args = ['snapshot', 'restore', file, ...names, ...place, '--initial-cluster-token=holdfast-test']
  const { status, stderr } = spawnSync(etcdPrograms().etcdutl, args, { encoding: 'utf8' })
  assert.equal(status, 0, stderr)
}

async function untilAnswered(act: () => Promise<unknown>): Promise<unknown> {
  for (let attempt = 0; ; attempt++) {
    const outcome = await act().catch((error: unknown) => error)
    const isFinal = !(outcome instanceof Error) || outcome instanceof EngineFatal
    if (isFinal || attempt === 100) return outcome
    await sleep(50)
  }
}
