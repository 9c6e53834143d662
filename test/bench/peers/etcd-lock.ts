/** etcd's own lock RPC, as its documentation has it: a lease for each that wants a lock, and the server waits. */
import { calls, channelTo, type EtcdMembers, raftEntries, WAIT_MS } from './etcd-members.ts'
import type { Peer } from './peer.ts'

/** Longer than the benchmark: what renewing costs is another question. */
const TTL_SECONDS = 3_600

export function etcdLockRpc(members: EtcdMembers): Peer {
  const channels = members.urls.map(channelTo)
  const patience = { timeoutMs: WAIT_MS, token: null }
  const channelOf = (worker: number) => channels[worker % channels.length]!
  const leases: Promise<bigint>[] = []
  // Two that share a lease are one holder, so each loop has its own.
  const leaseOf = (worker: number) => {
    leases[worker] ??= channelOf(worker)
      .unary(calls.leaseGrant, { ttl: TTL_SECONDS }, patience)
      .then(({ id }) => id)
    return leases[worker]
  }
  return {
    name: "etcd's lock RPC, grpc-js",
    durability: 'synced by most of the members; no fencing token, though the revision of the key can serve',
    waiting: 'in line, told by a watch in the server',
    acquire: async (name, worker) => {
      const request = { name: Buffer.from(`rpc/${name}`), lease: await leaseOf(worker) }
      const { key } = await channelOf(worker).unary(calls.lock, request, patience)
      return { release: () => channelOf(worker).unary(calls.unlock, { key }, patience) }
    },
    processes: () => members.members.map(({ pid }) => pid ?? 0),
    commits: raftEntries(members.urls),
    close: async () => {
      for (const channel of channels) channel.close()
    },
  }
}
