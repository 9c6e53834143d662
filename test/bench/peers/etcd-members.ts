/** Members of etcd that sync, as a user would run them, and what is asked of them by hand: messages that the server's own client has no use for. */
import { credentials } from '@grpc/grpc-js'
import { systemClock } from '../../../packages/server/src/clock.ts'
import { Channel, endpointOf } from '../../../packages/server/src/engine/etcd/channel.ts'
import { EtcdClient } from '../../../packages/server/src/engine/etcd/client.ts'
import { many, message, method, one } from '../../../packages/server/src/engine/etcd/wire.ts'
import type { EtcdCluster } from '../../harness/etcd.ts'

export type EtcdMembers = Pick<EtcdCluster, 'urls' | 'members'>

const KEEPALIVE_MS = 10_000
/** Calls that wait in line for a lock wait as long as they must. */
export const WAIT_MS = 10 * 60_000

const leaseGrantRequest = message({ ttl: one(1, 'int64') })
const leaseGrantResponse = message({ id: one(2, 'uint64'), ttl: one(3, 'int64') })
const leaseKeepAliveRequest = message({ id: one(1, 'uint64') })
const leaseKeepAliveResponse = message({ id: one(2, 'uint64'), ttl: one(3, 'int64') })
const lockRequest = message({ name: one(1, 'bytes'), lease: one(2, 'uint64') })
const lockResponse = message({ key: one(2, 'bytes') })
const unlockRequest = message({ key: one(1, 'bytes') })
const putRequest = message({ key: one(1, 'bytes'), value: one(2, 'bytes'), lease: one(3, 'uint64') })
const watchCreate = message({ key: one(1, 'bytes'), rangeEnd: one(2, 'bytes') })
const watchRequest = message({ create: one(1, watchCreate) })
const keyValue = message({ key: one(1, 'bytes') })
const event = message({ type: one(1, 'uint32'), kv: one(2, keyValue) })
/** A `type` of an event. */
const DELETE = 1
const watchResponse = message({ created: one(3, 'bool'), events: many(11, event) })

export const calls = {
  leaseGrant: method('/etcdserverpb.Lease/LeaseGrant', leaseGrantRequest, leaseGrantResponse),
  leaseKeepAlive: method('/etcdserverpb.Lease/LeaseKeepAlive', leaseKeepAliveRequest, leaseKeepAliveResponse),
  lock: method('/v3lockpb.Lock/Lock', lockRequest, lockResponse),
  unlock: method('/v3lockpb.Lock/Unlock', unlockRequest, message({})),
  put: method('/etcdserverpb.KV/Put', putRequest, message({})),
  watch: method('/etcdserverpb.Watch/Watch', watchRequest, watchResponse),
}

/** A connection of its own to one member. */
export function channelTo(url: string): Channel {
  return new Channel({
    endpoint: endpointOf(url),
    credentials: credentials.createInsecure(),
    clock: systemClock,
    keepaliveMs: KEEPALIVE_MS,
  })
}

/** Begins to tell of keys from `key` up to `rangeEnd` (or of one alone) as they are changed or deleted; resolves when the watch stands. */
export async function watchKeys(
  channel: Channel,
  range: { key: Buffer; rangeEnd?: Buffer },
  onKey: (change: { key: Uint8Array; isDeleted: boolean }) => void,
): Promise<{ cancel(): void }> {
  const stream = channel.duplex(calls.watch, null)
  await new Promise<void>((resolve, reject) => {
    stream.on('error', reject)
    stream.on('data', reply => {
      if (reply.created) resolve()
      for (const { type, kv } of reply.events) if (kv) onKey({ key: kv.key, isDeleted: type === DELETE })
    })
    stream.write({ create: range })
  })
  return { cancel: () => stream.cancel() }
}

/** How many entries their log has by now. */
export function raftEntries(urls: string[]): () => Promise<number> {
  return async () => (await etcdFacts(urls)).raftIndex
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
