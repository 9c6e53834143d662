/** Sessions, leases or keys that end by themselves when nobody renews them, and how one hears of it. */
import { connect } from '@holdfast/client'
import { Redis } from 'ioredis'
import { debian } from '../../harness/debian.ts'
import { startEtcd } from '../../harness/etcd.ts'
import { temporaryFolder } from '../../harness/process.ts'
import { rootKey, startServer } from '../../harness/server.ts'
import { startServers } from '../../harness/servers.ts'
import { calls, channelTo, WAIT_MS, watchKeys } from '../peers/etcd-members.ts'
import { startRedis } from '../peers/redis.ts'
import { RawHttp } from '../raw-http.ts'

export type Expiring = {
  /** What ends, and what is promised of it. */
  note: string
  /** Begins one that ends about so many ms from now unless it is renewed, which nobody does. Resolves with when it is due, by `performance.now()`. */
  begin(index: number, untilMs: number, caller: number): Promise<number>
  /** Tells the number of each that has ended. */
  onEnded(told: (index: number) => void): Promise<void>
  close(): Promise<void>
}

/** Requests that begin them, at a time. */
export const CALLERS = 64

const PREFIX = 'expiry/'
const indexOf = (name: string) => Number(name.slice(PREFIX.length))

export async function holdfastAlone(): Promise<Expiring> {
  const folder = temporaryFolder('bench')
  const server = await startServer({ data: folder.path })
  const expiring = await sessions([server.url])
  return {
    ...expiring,
    close: async () => {
      await expiring.close()
      await server.stop()
      folder.remove()
    },
  }
}

export async function holdfastServers(): Promise<Expiring> {
  const servers = await startServers({ etcd: { isSynced: true } })
  const expiring = await sessions(servers.urls)
  return {
    ...expiring,
    close: async () => {
      await expiring.close()
      await servers.stop()
    },
  }
}

/** A session and a lock for each, over REST, for these need no connection of their own. */
async function sessions(urls: string[]): Promise<Expiring> {
  const watcher = connect({ url: urls, apiKey: rootKey })
  const callers = await Promise.all(
    Array.from({ length: CALLERS }, (_, caller) =>
      RawHttp.connect(Number(new URL(urls[caller % urls.length]!).port), rootKey),
    ),
  )
  const over = new AbortController()
  return {
    note: 'sessions with a lock each; never before their time, which is proved',
    begin: async (index, untilMs, caller) => {
      const http = callers[caller]!
      const ttlMs = Math.round(untilMs)
      const session = JSON.parse(await http.post('/v2/sessions', JSON.stringify({ ttl_ms: ttlMs })))
      const own = `holdfast-session: ${session.session_id}.${session.session_secret}\r\n`
      // Each request with which the session is used lets it live on from there.
      const sentAt = performance.now()
      await http.post(`/v2/locks/${encodeURIComponent(`${PREFIX}${index}`)}/acquire`, '{"wait_ms":0}', own)
      return sentAt + ttlMs
    },
    onEnded: async told => {
      // So that the watch stands before the first of them begins.
      await watcher.sessionId()
      void follow()
      async function follow() {
        for await (const event of watcher.watch({ prefix: PREFIX, signal: over.signal })) {
          if (event.type === 'reset') throw new Error('events were missed')
          if (event.type === 'expired') told(indexOf(event.lock))
        }
      }
    },
    close: async () => {
      over.abort()
      for (const http of callers) http.close()
      await watcher.close()
    },
  }
}

const SECOND_MS = 1_000
/** etcd gives none shorter than this, by its election timeout. */
const LEASE_SECONDS_MIN = 2

export async function etcdLeases(): Promise<Expiring> {
  const members = await startEtcd({ members: 3, isSynced: true })
  const channels = members.urls.map(channelTo)
  const watching = channelTo(members.url)
  const patience = { timeoutMs: WAIT_MS, token: null }
  return {
    note: 'leases of whole seconds with a key each; a lease may outlive its time by as much as its leader changes',
    begin: async (index, untilMs, caller) => {
      const channel = channels[caller % channels.length]!
      const ttl = Math.max(LEASE_SECONDS_MIN, Math.ceil(untilMs / SECOND_MS))
      const sentAt = performance.now()
      const { id, ttl: granted } = await channel.unary(calls.leaseGrant, { ttl }, patience)
      await channel.unary(
        calls.put,
        { key: Buffer.from(`${PREFIX}${index}`), value: Buffer.from('x'), lease: id },
        patience,
      )
      return sentAt + granted * SECOND_MS
    },
    onEnded: async told => {
      const range = { key: Buffer.from(PREFIX), rangeEnd: Buffer.from(PREFIX.replace('/', '0')) }
      await watchKeys(watching, range, ({ key, isDeleted }) => {
        if (isDeleted) told(indexOf(Buffer.from(key).toString()))
      })
    },
    close: async () => {
      for (const channel of [...channels, watching]) channel.close()
      await members.stop()
    },
  }
}

export async function redisKeys(): Promise<Expiring | string> {
  const installed = debian('redis')
  if (typeof installed === 'string') return `Redis keys: ${installed}`
  const server = await startRedis(installed, ['--notify-keyspace-events', 'Ex'])
  const client = new Redis(server.port, '127.0.0.1')
  const watcher = new Redis(server.port, '127.0.0.1')
  return {
    note: 'keys with a time to live, as Redlock makes them; the events are fire and forget',
    begin: async (index, untilMs) => {
      const ttlMs = Math.round(untilMs)
      const sentAt = performance.now()
      await client.set(`${PREFIX}${index}`, 'x', 'PX', ttlMs, 'NX')
      return sentAt + ttlMs
    },
    onEnded: async told => {
      watcher.on('message', (_channel: string, key: string) => told(indexOf(key)))
      await watcher.subscribe('__keyevent@0__:expired')
    },
    close: async () => {
      client.disconnect()
      watcher.disconnect()
      await server.stop()
    },
  }
}
