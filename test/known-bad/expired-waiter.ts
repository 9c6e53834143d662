/**
 * Somebody who waits in etcd's own line, and whose lease has run out meanwhile: the server goes on keeping it waiting, and nobody tells it. What comes
 * when the holder leaves depends on etcd's version: an error, or the lock under a key that is no longer there.
 */
import { setTimeout as sleep } from 'node:timers/promises'
import { startEtcd } from '../harness/etcd.ts'
import { base64, ETCD_TTL_SECONDS, rpc } from './takers.ts'

export type ExpiredWaiters = {
  waiters: number
  /** Still waiting, though the lease they wait with has been gone for seconds. */
  stuck: number
  /** Told in the end that they hold what they do not hold. */
  deceived: number
  /** Told in the end that they do not. */
  refused: number
}

const HOLDER_TTL_SECONDS = 60
const WAITERS = 3
/** etcd ends leases within half a second of their time, and looks no more often. */
const GONE_MS = ETCD_TTL_SECONDS * 1_000 + 2_500

export async function expiredWaiters(): Promise<ExpiredWaiters | string> {
  const cluster = await startEtcd().catch((error: unknown) => String(error))
  if (typeof cluster === 'string') return cluster
  const { url } = cluster
  try {
    const { ID: holding } = await rpc(url, 'lease/grant', { TTL: HOLDER_TTL_SECONDS })
    const { key } = await rpc(url, 'lock/lock', { name: base64('line'), lease: holding })
    const ends: ('waits' | 'deceived' | 'refused')[] = Array.from({ length: WAITERS }, () => 'waits')
    const waits = ends.map(async (_, place) => {
      const { ID: lease } = await rpc(url, 'lease/grant', { TTL: ETCD_TTL_SECONDS })
      ends[place] = await rpc(url, 'lock/lock', { name: base64('line'), lease }).then(
        () => 'deceived' as const,
        () => 'refused' as const,
      )
    })
    await sleep(GONE_MS)
    const stuck = ends.filter(end => end === 'waits').length
    await rpc(url, 'lock/unlock', { key })
    await Promise.race([Promise.all(waits), sleep(GONE_MS)])
    const countOf = (end: string) => ends.filter(other => other === end).length
    return { waiters: WAITERS, stuck, deceived: countOf('deceived'), refused: countOf('refused') }
  } finally {
    await cluster.stop()
  }
}
