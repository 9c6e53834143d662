/** Redlock (npm) on Redis that syncs before it answers. */
import { Redis } from 'ioredis'
import Redlock from 'redlock'
import { debian, type Installed } from '../../harness/debian.ts'
import { start } from '../../harness/process.ts'
import type { Peer } from './peer.ts'

const TTL_MS = 30_000

/** Waits without end, for the others do; the delay between two tries is the library's own. */
const FOR_EVER = -1

export async function redlock(count = 1): Promise<Peer | string> {
  const installed = debian('redis')
  if (typeof installed === 'string') return `Redlock on Redis: ${installed}`
  const servers = await Promise.all(Array.from({ length: count }, () => startRedis(installed)))
  const clients = servers.map(server => new Redis(server.port, '127.0.0.1'))
  const locks = new Redlock(clients, { retryCount: FOR_EVER })
  return {
    name: `Redlock (npm), ${count === 1 ? 'one Redis' : `${count} Redis`}, appendfsync always`,
    durability: 'synced; no fencing token',
    waiting: 'asks again every 200 ± 100 ms, no order',
    acquire: name => locks.acquire([name], TTL_MS),
    processes: () => servers.map(({ child }) => child.pid ?? 0),
    commits: 'Redis does not count its syncs',
    close: async () => {
      for (const client of clients) client.disconnect()
      await Promise.all(servers.map(server => server.stop()))
    },
  }
}

export function startRedis(installed: Installed, more: string[] = []) {
  return start('redis', ({ port, folder }) => ({
    file: installed.bin('redis-server'),
    args: [
      ['--port', `${port}`, '--bind', '127.0.0.1', '--dir', folder],
      ['--appendonly', 'yes', '--appendfsync', 'always', '--save', ''],
      more,
    ].flat(),
    env: installed.env,
  }))
}
