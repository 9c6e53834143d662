/** Holdfast as one of those that are compared: embedded on its own disk, or three servers on three members of etcd. */
import type { Holdfast } from '@holdfast/client'
import { SESSION_LOCKS_MAX } from '@holdfast/protocol/limits'
import { type Servers, startServers } from '../../harness/servers.ts'
import { holdfast, open } from '../holdfast.ts'
import { raftEntries } from './etcd-members.ts'
import type { Peer } from './peer.ts'

const WAITING = 'in line, told by the server'

export async function holdfastEmbedded(): Promise<Peer> {
  const bench = await holdfast()
  const sessions = new Sessions(bench.server.url, bench.client)
  return {
    name: 'Holdfast, embedded',
    durability: 'synced; fencing token, each request carried out once',
    waiting: WAITING,
    acquire: (name, worker) => sessions.of(worker).acquire(name),
    processes: () => [bench.server.child.pid ?? 0],
    commits: () => commitsOf(bench.server.url),
    close: async () => {
      await sessions.close()
      await bench.close()
    },
  }
}

export async function holdfastOnEtcd(): Promise<Peer> {
  return holdfastOver(await startServers({ etcd: { isSynced: true } }))
}

/** Stops the servers and their members when it is closed. */
export function holdfastOver(servers: Servers): Peer {
  const sessions = new Sessions(servers.urls, open(servers.urls))
  return {
    name: 'Holdfast, three servers on three etcd members',
    durability: 'synced by two of three; fencing token, each request carried out once',
    waiting: WAITING,
    acquire: (name, worker) => sessions.of(worker).acquire(name),
    processes: () => [...servers.all.map(({ child }) => child.pid ?? 0), ...servers.etcd.members.map(m => m.pid ?? 0)],
    commits: raftEntries(servers.etcd.urls),
    close: async () => {
      await sessions.close()
      await servers.stop()
    },
  }
}

/** One for all, as long as it may hold so many locks; then one more. */
class Sessions {
  readonly #urls: string | readonly string[]
  readonly #clients: Holdfast[]

  constructor(urls: string | readonly string[], first: Holdfast) {
    this.#urls = urls
    this.#clients = [first]
  }

  of(worker: number): Holdfast {
    const index = Math.floor(worker / SESSION_LOCKS_MAX)
    this.#clients[index] ??= open(this.#urls)
    return this.#clients[index]
  }

  async close(): Promise<void> {
    await Promise.all(this.#clients.map(client => client.close()))
  }
}

/** Commits of its store until now, by its own count. */
async function commitsOf(url: string): Promise<number> {
  const text = await (await fetch(`${url}/metrics`)).text()
  const counts = text.split('\n').filter(line => line.startsWith('holdfast_commit_seconds_count'))
  return counts.reduce((sum, line) => sum + Number(line.split(' ')[1]), 0)
}
