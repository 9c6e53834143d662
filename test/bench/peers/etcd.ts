/** npm etcd3's lock on one etcd member. */
import { Etcd3 } from 'etcd3'
import { debian } from '../../harness/debian.ts'
import { freePort, start } from '../../harness/process.ts'
import type { Peer } from './redis.ts'

const TTL_SECONDS = 30

export async function etcdLock(): Promise<Peer | string> {
  const installed = debian('etcd')
  if (typeof installed === 'string') return `npm etcd3's lock on etcd: ${installed}`
  const peerPort = await freePort()
  const server = await start('etcd', ({ port, folder }) => ({
    file: installed.bin('etcd'),
    args: [
      ['--name', 'one', '--data-dir', folder, '--log-level', 'error'],
      ['--listen-client-urls', `http://127.0.0.1:${port}`, '--advertise-client-urls', `http://127.0.0.1:${port}`],
      [
        '--listen-peer-urls',
        `http://127.0.0.1:${peerPort}`,
        '--initial-advertise-peer-urls',
        `http://127.0.0.1:${peerPort}`,
      ],
      ['--initial-cluster', `one=http://127.0.0.1:${peerPort}`],
    ].flat(),
  }))
  const peer = etcdLockOn([`http://127.0.0.1:${server.port}`], 'one etcd member')
  return {
    ...peer,
    close: async () => {
      await peer.close()
      await server.stop()
    },
  }
}

/** On members that somebody else has started. */
export function etcdLockOn(hosts: string[], members: string): Peer {
  const client = new Etcd3({ hosts })
  return {
    name: `npm etcd3's lock, ${members}`,
    durability: 'synced; no fencing token',
    cycle: async worker => {
      const lock = client.lock(`bench/${worker}`).ttl(TTL_SECONDS)
      await lock.acquire()
      await lock.release()
    },
    close: async () => client.close(),
  }
}
