/** A great many held locks, and those who hold them in their stores: all their processes are killed, and started again. */
import { Redis } from 'ioredis'
import { methods } from '../../../packages/server/src/engine/etcd/messages.ts'
import { debian } from '../../harness/debian.ts'
import { startEtcd } from '../../harness/etcd.ts'
import { temporaryFolder } from '../../harness/process.ts'
import { rootKey, type Server, startServer } from '../../harness/server.ts'
import { startServers } from '../../harness/servers.ts'
import { hold } from '../load.ts'
import { channelTo, WAIT_MS } from '../peers/etcd-members.ts'
import { startRedis } from '../peers/redis.ts'

export type Returning = {
  /** What a lock is there. */
  note: string
  /** Those that are killed, while they run. */
  processes(): number[]
  kill(): Promise<void>
  /** Resolves when a lock that was held is shown to be held. */
  start(): Promise<void>
  close(): Promise<void>
}

const LOOK_MS = 20
const pause = () => new Promise(resolve => setTimeout(resolve, LOOK_MS))

export async function holdfastAlone(count: number): Promise<Returning> {
  const folder = temporaryFolder('recovery')
  let server = await startServer({ data: folder.path })
  await hold(server.url, 0, count)
  return {
    note: 'locks of sessions with a thousand each, on its own disk',
    processes: () => [server.child.pid ?? 0],
    kill: () => server.kill(),
    start: async () => {
      server = await startServer({ data: folder.path })
      await isHeld(server, count)
    },
    close: async () => {
      await server.kill()
      folder.remove()
    },
  }
}

export async function holdfastServers(count: number): Promise<Returning> {
  const servers = await startServers({ etcd: { isSynced: true } })
  await hold(servers.urls[0]!, 0, count)
  return {
    note: 'the same; the servers are killed, all three of them, and etcd is not',
    processes: () => servers.all.map(({ child }) => child.pid ?? 0),
    kill: async () => {
      await Promise.all(servers.all.map(server => server.kill()))
    },
    start: async () => {
      await Promise.all(servers.all.map((_, place) => servers.start(place)))
      await isHeld(servers.all[0]!, count)
    },
    close: () => servers.stop(),
  }
}

async function isHeld({ url }: Server, count: number): Promise<void> {
  for (;;) {
    const response = await fetch(`${url}/v2/locks/${encodeURIComponent(`held/${count - 1}`)}`, {
      headers: { authorization: `Bearer ${rootKey}` },
    }).catch(() => null)
    const lock = response?.ok ? ((await response.json()) as { holders: unknown[] }) : null // by API.md
    if (lock && lock.holders.length > 0) return
    await pause()
  }
}

const KEY = 'held/'
/** As a lock's record would be. */
const VALUE = Buffer.alloc(100, 'x')
/** The most that one transaction may put. */
const PUTS = 128
const PUTTING = 16

export async function etcdKeys(count: number): Promise<Returning> {
  const members = await startEtcd({ members: 3, isSynced: true })
  const patience = { timeoutMs: WAIT_MS, token: null }
  const channels = members.urls.map(channelTo)
  let next = 0
  await Promise.all(
    Array.from({ length: PUTTING }, async (_, caller) => {
      for (let from = next; from < count; from = next) {
        next = Math.min(count, from + PUTS)
        const success = Array.from({ length: next - from }, (_, index) => ({
          requestPut: { key: Buffer.from(`${KEY}${from + index}`), value: VALUE },
        }))
        await channels[caller % channels.length]!.unary(methods.txn, { compare: [], success, failure: [] }, patience)
      }
    }),
  )
  for (const channel of channels) channel.close()
  return {
    note: 'keys without leases, three members; all of them are killed',
    processes: () => members.members.map(({ pid }) => pid ?? 0),
    kill: async () => {
      await Promise.all(members.members.map(member => member.kill()))
    },
    start: async () => {
      for (const member of members.members) members.start(member)
      const channel = channelTo(members.url)
      for (;;) {
        const key = Buffer.from(`${KEY}${count - 1}`)
        const reply = await channel.unary(methods.range, { key }, { timeoutMs: 1_000, token: null }).catch(() => null)
        if (reply && reply.kvs.length > 0) break
        await pause()
      }
      channel.close()
    },
    close: () => members.stop(),
  }
}

const TTL_MS = 3_600_000
/** Keys that are set in one go. */
const PIPELINED = 10_000

export async function redisKeys(count: number): Promise<Returning | string> {
  const installed = debian('redis')
  if (typeof installed === 'string') return `Redis keys: ${installed}`
  const folder = temporaryFolder('recovery')
  const begin = () => startRedis(installed, ['--dir', folder.path])
  let server = await begin()
  const client = new Redis(server.port, '127.0.0.1')
  for (let from = 0; from < count; from += PIPELINED) {
    const pipeline = client.pipeline()
    for (let index = from; index < Math.min(count, from + PIPELINED); index++)
      pipeline.set(`${KEY}${index}`, 'x'.repeat(20), 'PX', TTL_MS, 'NX')
    await pipeline.exec()
  }
  client.disconnect()
  return {
    note: 'keys with a time to live, as Redlock makes them',
    processes: () => [server.child.pid ?? 0],
    kill: () => server.stop(),
    start: async () => {
      server = await begin()
      // Its ready check waits until all has been loaded.
      const reader = new Redis(server.port, '127.0.0.1')
      if ((await reader.get(`${KEY}${count - 1}`)) === null) throw new Error('Redis has lost what it had synced')
      reader.disconnect()
    },
    close: async () => {
      await server.stop()
      folder.remove()
    },
  }
}
