/** What a careful user of etcd would write by hand: one transaction for each operation, over the same gRPC library, no lock recipe around it. */
import { systemClock } from '../../../packages/server/src/clock.ts'
import { openEtcd } from '../../../packages/server/src/engine/etcd/etcd.ts'
import { compareTarget, methods } from '../../../packages/server/src/engine/etcd/messages.ts'
import { latencies } from '../measure.ts'
import { channelTo, type EtcdMembers, raftEntries, WAIT_MS } from './etcd-members.ts'
import type { Peer } from './peer.ts'

/** As long as a lock's record would be. */
const VALUE = Buffer.alloc(100, 'x')
/** A batch of one operation is about this large. */
const BATCH = new Uint8Array(400)

export function etcdDirect(members: EtcdMembers): Peer {
  const channels = members.urls.map(channelTo)
  const change = async (worker: number, key: Buffer, modRevision: number, value: Buffer | null) => {
    const operation = value ? { requestPut: { key, value } } : { requestDeleteRange: { key } }
    const reply = await channels[worker % channels.length]!.unary(
      methods.txn,
      { compare: [{ target: compareTarget.MOD, key, modRevision }], success: [operation], failure: [] },
      { timeoutMs: WAIT_MS, token: null },
    )
    if (!reply.succeeded) throw new Error(`${key} is not as it was left`)
    return reply.header?.revision ?? 0
  }
  return {
    name: 'one etcd Txn an operation, grpc-js',
    durability: 'synced by most of the members; no session, no queue',
    waiting: null,
    acquire: async (name, worker) => {
      const key = Buffer.from(`direct/${name}`)
      const revision = await change(worker, key, 0, VALUE)
      return { release: () => change(worker, key, revision, null) }
    },
    processes: () => members.members.map(({ pid }) => pid ?? 0),
    commits: raftEntries(members.urls),
    close: async () => {
      for (const channel of channels) channel.close()
    },
  }
}

/** Milliseconds of `count` commits of one put, one after another. */
export async function etcdCommits(urls: string[], count: number): Promise<number[]> {
  const engine = await openEtcd({ urls, clock: systemClock })
  let seq = 0
  const commit = async () => {
    seq++
    await engine.commit({ checks: [], writes: [{ key: `floor/${String(seq).padStart(16, '0')}`, value: BATCH }] })
  }
  await latencies(commit, 50)
  const times = await latencies(commit, count)
  await engine.close()
  return times
}
