/** Redlock (npm) on one Redis that syncs before it answers. */
import { Redis } from 'ioredis'
import Redlock from 'redlock'
import { debian } from '../../harness/debian.ts'
import { start } from '../../harness/process.ts'
import type { Cycle } from '../measure.ts'

export type Peer = { name: string; durability: string; cycle: Cycle; close(): Promise<void> }

const TTL_MS = 30_000

export async function redlock(count = 1): Promise<Peer | string> {
  const installed = debian('redis')
  if (typeof installed === 'string') return `Redlock on Redis: ${installed}`
  const servers = await Promise.all(Array.from({ length: count }, () => startRedis(installed)))
  const clients = servers.map(server => new Redis(server.port, '127.0.0.1'))
  const locks = new Redlock(clients)
  return {
    name: `Redlock (npm), ${count === 1 ? 'one Redis' : `${count} Redis`}, appendfsync always`,
    durability: 'synced; no fencing token',
    cycle: async worker => {
      const lock = await locks.acquire([`bench/${worker}`], TTL_MS)
      await lock.release()
    },
    close: async () => {
      for (const client of clients) client.disconnect()
      await Promise.all(servers.map(server => server.stop()))
    },
  }
}

type Installed = Exclude<ReturnType<typeof debian>, string>

function startRedis(installed: Installed) {
  return start('redis', ({ port, folder }) => ({
    file: installed.bin('redis-server'),
    args: [
      '--port',
      `${port}`,
      '--bind',
      '127.0.0.1',
      '--dir',
      folder,
      '--appendonly',
      'yes',
      '--appendfsync',
      'always',
      '--save',
      '',
    ],
    env: installed.env,
  }))
}
