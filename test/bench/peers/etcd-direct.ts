/** What a careful user of etcd would write by hand: one transaction for each operation, over the same gRPC library, no lock recipe around it. */
import { systemClock } from '../../../packages/server/src/clock.ts'
import { EtcdClient } from '../../../packages/server/src/engine/etcd/client.ts'
import { openEtcd } from '../../../packages/server/src/engine/etcd/etcd.ts'
import { latencies } from '../measure.ts'
import type { Peer } from './redis.ts'

/** As long as a lock's record would be. */
const VALUE = Buffer.alloc(100, 'x')
/** A batch of one operation is about this large. */
const BATCH = new Uint8Array(400)

export async function etcdDirect(urls: string[]): Promise<Peer> {
  const engine = await openEtcd({ urls, clock: systemClock })
  return {
    name: 'one etcd Txn an operation, grpc-js',
    durability: 'synced by two of three; no session, no queue',
    cycle: async worker => {
      const key = `direct/${worker}`
      const taken = await engine.commit({ checks: [{ key, modRevision: 0 }], writes: [{ key, value: VALUE }] })
      if (!taken.ok) throw new Error(`${key} is held`)
      await engine.commit({ checks: [{ key, modRevision: taken.revision }], writes: [{ key, delete: true }] })
    },
    close: () => engine.close(),
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

/** Of the leader: how many proposals it has counted, and the size of its file. */
export async function etcdFacts(urls: string[]): Promise<{ raftIndex: number; fileBytes: number }> {
  const client = new EtcdClient({ urls, clock: systemClock })
  try {
    const facts = await Promise.all(urls.map(url => client.at(url).status()))
    return {
      raftIndex: Math.max(...facts.map(fact => Number(fact.raftIndex))),
      fileBytes: Math.max(...facts.map(fact => Number(fact.dbSize))),
    }
  } finally {
    client.close()
  }
}
