/** How a careful user of each service takes a lock: as its documentation says, and no more is asked than its library can answer. */
import { randomUUID } from 'node:crypto'
import { setTimeout as sleep } from 'node:timers/promises'
import { connect } from '@holdfast/client'
import { Etcd3 } from 'etcd3'
import { Redis } from 'ioredis'
import Redlock from 'redlock'
import { rootKey } from '../harness/server.ts'

export type Held = {
  /** What the protected resource may compare; 0: the service gives none. */
  token: number
  /** As far as the client can know without asking anybody. */
  isBelieved(): boolean
  release(): Promise<void>
}
export type Take = (name: string) => Promise<Held>
export type SystemName = 'etcd3' | 'v3lock' | 'redlock' | 'set-nx-px' | 'holdfast'

/** The least that etcd gives with its usual election timeout. */
export const ETCD_TTL_SECONDS = 2
export const TTL_MS = 1_000
const AGAIN_MS = 50

export const takers: Record<SystemName, (url: string) => Promise<Take>> = {
  etcd3: async url => takeByEtcd3(new Etcd3({ hosts: url })),
  v3lock: async url => takeByRpc(url),
  redlock: async url => {
    const locks = new Redlock([redisAt(url)])
    return async name => {
      const lock = await locks.acquire([name], TTL_MS)
      return {
        token: 0,
        // Until when it is held, by the client's own clock.
        isBelieved: () => Date.now() < lock.expiration,
        release: async () => void (await lock.release()),
      }
    }
  },
  'set-nx-px': async url => takeBySet(redisAt(url)),
  holdfast: async url => {
    const client = connect({ url, apiKey: rootKey, ttlMs: TTL_MS })
    return async name => {
      const lock = await client.acquire(name)
      return { token: lock.token, isBelieved: () => lock.isHeld, release: async () => void (await lock.release()) }
    }
  },
}

function redisAt(url: string): Redis {
  const redis = new Redis(url)
  redis.on('error', () => {
    // It reconnects by itself; what was asked meanwhile fails, or waits.
  })
  return redis
}

function takeByEtcd3(etcd: Etcd3): Take {
  return async name => {
    for (;;) {
      const lock = etcd.lock(name).ttl(ETCD_TTL_SECONDS)
      const taken = await lock.acquire().then(
        () => true,
        () => false,
      )
      // The library has nothing that says whether it still holds.
      if (taken) return { token: 0, isBelieved: () => true, release: async () => void (await lock.release()) }
      await sleep(AGAIN_MS)
    }
  }
}

function takeBySet(redis: Redis): Take {
  return async name => {
    const mine = randomUUID()
    for (;;) {
      const askedMs = performance.now()
      if ((await redis.set(name, mine, 'PX', TTL_MS, 'NX')) === 'OK')
        return {
          token: 0,
          isBelieved: () => performance.now() - askedMs < TTL_MS,
          release: async () => {
            const script =
              "if redis.call('get', KEYS[1]) == ARGV[1] then return redis.call('del', KEYS[1]) end return 0"
            await redis.eval(script, 1, name, mine)
          },
        }
      await sleep(AGAIN_MS)
    }
  }
}

/** etcd's lock RPC, over its JSON gateway. */
export async function rpc(url: string, path: string, body: object): Promise<Record<string, unknown>> {
  const response = await fetch(`${url}/v3/${path}`, { method: 'POST', body: JSON.stringify(body) })
  // Objects, whether it went well or not.
  const answer = (await response.json()) as Record<string, unknown>
  if (!response.ok) throw new Error(`${path}: ${JSON.stringify(answer)}`)
  return answer
}

export const base64 = (text: string) => Buffer.from(text).toString('base64')

function takeByRpc(url: string): Take {
  return async name => {
    const { ID: lease } = await rpc(url, 'lease/grant', { TTL: ETCD_TTL_SECONDS })
    let isLost = false
    let isOver = false
    const renewing = (async () => {
      while (!isOver && !isLost) {
        await sleep((ETCD_TTL_SECONDS * 1_000) / 4)
        const { result } = await rpc(url, 'lease/keepalive', { ID: lease })
        // An answer without a time is for a lease that is gone.
        isLost = !(result as { TTL?: string } | undefined)?.TTL
      }
    })().catch(() => {
      // Whoever cannot reach etcd knows no more than before.
    })
    const { key } = await rpc(url, 'lock/lock', { name: base64(name), lease }).catch((error: unknown) => {
      // Else its place in line would be kept for nobody.
      isOver = true
      throw error
    })
    return {
      token: 0,
      isBelieved: () => !isLost,
      release: async () => {
        isOver = true
        await rpc(url, 'lock/unlock', { key })
        await renewing
      },
    }
  }
}
