/** npm etcd3's lock. */
import { Etcd3 } from 'etcd3'
import { startEtcd } from '../../harness/etcd.ts'
import { type EtcdMembers, raftEntries } from './etcd-members.ts'
import type { Peer } from './peer.ts'

const TTL_SECONDS = 30

/** On one member of its own. */
export async function etcdLock(): Promise<Peer | string> {
  try {
    const members = await startEtcd({ members: 1, isSynced: true })
    const peer = etcdLockOn(members, 'one etcd member')
    return {
      ...peer,
      close: async () => {
        await peer.close()
        await members.stop()
      },
    }
  } catch (error) {
    return `npm etcd3's lock on etcd: ${String(error)}`
  }
}

/** On members that somebody else has started. */
export function etcdLockOn(members: EtcdMembers, where: string): Peer {
  const client = new Etcd3({ hosts: members.urls })
  return {
    name: `npm etcd3's lock, ${where}`,
    durability: 'synced by most of the members; no fencing token',
    waiting: null,
    acquire: async name => {
      const lock = client.lock(name).ttl(TTL_SECONDS)
      await lock.acquire()
      return lock
    },
    processes: () => members.members.map(({ pid }) => pid ?? 0),
    commits: raftEntries(members.urls),
    close: async () => client.close(),
  }
}
