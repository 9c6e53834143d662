/** Sessions, leases or keys that live on as long as somebody says so again and again. */
import { spawn } from 'node:child_process'
import { createInterface } from 'node:readline'
import { setTimeout as sleep } from 'node:timers/promises'
import { fileURLToPath } from 'node:url'
import { connect } from '@holdfast/client'
import { Redis } from 'ioredis'
import Redlock, { type Lock } from 'redlock'
import { nodeFlags } from '../../../scripts/node.mjs'
import { debian } from '../../harness/debian.ts'
import { startEtcd } from '../../harness/etcd.ts'
import { temporaryFolder } from '../../harness/process.ts'
import { rootKey, startServer } from '../../harness/server.ts'
import { startServers } from '../../harness/servers.ts'
import { calls, channelTo, WAIT_MS } from '../peers/etcd-members.ts'
import { startRedis } from '../peers/redis.ts'

/** So many, each so often, for so long. */
export type Renewals = { count: number; everyMs: number; seconds: number }
export type Renewed = { sent: number; answered: number }

/** They have all begun, and are being renewed. */
export type Renewing = {
  /** What is renewed, and what that does to the store. */
  note: string
  /** Those of its servers. */
  processes(): number[]
  /** Resolves when the time is over. */
  over: Promise<Renewed>
  close(): Promise<void>
}

const sockets = fileURLToPath(new URL('./sockets.ts', import.meta.url))
/** Files beside the sockets. */
export const SPARE_FILES = 1_000
/** Nobody's time comes to its end in a run. */
const TTL_MS = 10 * 60_000
/** Begun at a time. */
const BEGINNING = 64
/** Renewals that may be unanswered: who is asked for more than it can do is not buried under it. */
const UNANSWERED_MAX = 20_000
const LOOK_MS = 2

export async function holdfastAlone(renewals: Renewals): Promise<Renewing> {
  const folder = temporaryFolder('crowd')
  const server = await startServer({ data: folder.path, filesMax: renewals.count + SPARE_FILES })
  return {
    note: 'a session on a connection of its own; nothing is written',
    processes: () => [server.child.pid ?? 0],
    ...(await crowdAt(server.url, renewals)),
    close: async () => {
      await server.stop()
      folder.remove()
    },
  }
}

export async function holdfastServers(renewals: Renewals): Promise<Renewing> {
  const servers = await startServers({ etcd: { isSynced: true }, filesMax: renewals.count + SPARE_FILES })
  // Where the library goes by itself: to the one that decides.
  const client = connect({ url: servers.urls, apiKey: rootKey })
  await (await client.acquire('owner')).release()
  await client.close()
  const owner = servers.all[await servers.busiest()]!
  return {
    note: 'the same, at the server that decides; nothing is written',
    processes: () => [...servers.all.map(({ child }) => child.pid ?? 0), ...servers.etcd.members.map(m => m.pid ?? 0)],
    ...(await crowdAt(owner.url, renewals)),
    close: () => servers.stop(),
  }
}

/** A process of its own; resolves when all of its sessions have been opened. */
async function crowdAt(url: string, { count, everyMs, seconds }: Renewals): Promise<Pick<Renewing, 'over'>> {
  const args = [...nodeFlags, sockets, url, rootKey, `${count}`, `${everyMs}`, `${seconds}`]
  const child = spawn('sh', ['-c', `ulimit -n ${count + SPARE_FILES}; exec "$0" "$@"`, process.execPath, ...args], {
    stdio: ['ignore', 'pipe', 'inherit'],
  })
  const lines = createInterface({ input: child.stdout })[Symbol.asyncIterator]()
  await lines.next()
  const over = lines.next().then(({ value }) => {
    const { sent, replies } = JSON.parse(value ?? '{}') as { sent: number; replies: number } // by sockets.ts
    return { sent, answered: replies }
  })
  return { over }
}

/** At the leader, who alone can renew a lease; others would pass each renewal on. */
export async function etcdLeases(renewals: Renewals): Promise<Renewing> {
  const members = await startEtcd({ members: 3, isSynced: true })
  const channel = channelTo((await members.leader()).url)
  const ids: bigint[] = []
  await begun(renewals.count, async index => {
    const ttl = TTL_MS / 1_000
    ids[index] = (await channel.unary(calls.leaseGrant, { ttl }, { timeoutMs: WAIT_MS, token: null })).id
  })
  const stream = channel.duplex(calls.leaseKeepAlive, null)
  const counts = { sent: 0, answered: 0 }
  stream.on('data', () => counts.answered++)
  return {
    note: 'leases, all on one stream to the leader; nothing is written',
    processes: () => members.members.map(({ pid }) => pid ?? 0),
    over: paced(renewals, counts, index => void stream.write({ id: ids[index]! })),
    close: async () => {
      stream.on('error', () => undefined)
      stream.cancel()
      channel.close()
      await members.stop()
    },
  }
}

export async function redlockKeys(renewals: Renewals): Promise<Renewing | string> {
  const installed = debian('redis')
  if (typeof installed === 'string') return `Redlock on Redis: ${installed}`
  const server = await startRedis(installed)
  const client = new Redis(server.port, '127.0.0.1')
  const redlock = new Redlock([client])
  const locks: Lock[] = []
  await begun(renewals.count, async index => {
    locks[index] = await redlock.acquire([`renewed/${index}`], TTL_MS)
  })
  const counts = { sent: 0, answered: 0 }
  const renew = async (index: number) => {
    locks[index] = await locks[index]!.extend(TTL_MS)
    counts.answered++
  }
  return {
    note: 'keys with a time to live, on one connection; each renewal is written and synced',
    processes: () => [server.child.pid ?? 0],
    over: paced(renewals, counts, index => void renew(index)),
    close: async () => {
      client.disconnect()
      await server.stop()
    },
  }
}

async function begun(count: number, begin: (index: number) => Promise<void>): Promise<void> {
  let next = 0
  await Promise.all(
    Array.from({ length: BEGINNING }, async () => {
      for (let index = next++; index < count; index = next++) await begin(index)
    }),
  )
}

/** One after another, each when it is due. Counted is what was answered in that time; resolves when all has been. */
async function paced(
  { count, everyMs, seconds }: Renewals,
  counts: Renewed,
  renew: (index: number) => void,
): Promise<Renewed> {
  const began = performance.now()
  for (let now = began; now < began + seconds * 1_000; now = performance.now()) {
    const due = Math.floor(((now - began) / everyMs) * count)
    for (; counts.sent < due && counts.sent - counts.answered < UNANSWERED_MAX; counts.sent++)
      renew(counts.sent % count)
    await sleep(LOOK_MS)
  }
  const renewed = { ...counts }
  while (counts.answered < counts.sent) await sleep(LOOK_MS)
  return renewed
}
