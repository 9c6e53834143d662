/**
 * The same work for everybody, as closed loops: each loop asks for its next lock when it has given back the last. What a loop measures is said
 * by each work; what is random is drawn from a seed, so that all are asked for the same locks in the same order.
 */
import type { Peer } from '../peers/peer.ts'

export type Work = {
  id: string
  name: string
  /** What its latencies are. */
  about: string
  inFlight: number
  /** Whether it is about waiting for others. */
  isContended: boolean
  begin(peer: Peer): Step
}

/** One cycle of one loop. Returns its latency in ms, or null when there was none to measure. */
export type Step = (worker: number) => Promise<number | null>

const CONVOY_WAITERS = 64
const ZIPF_LOCKS = 1_000
const ZIPF_WORKERS = 256
const ZIPF_EXPONENT = 1

export const works: readonly Work[] = [
  uncontended(1),
  uncontended(64),
  uncontended(512),
  uncontended(4_096),
  convoy(),
  zipf(),
]

function uncontended(inFlight: number): Work {
  return {
    id: `uncontended-${inFlight}`,
    name: `${inFlight.toLocaleString('en-US')} in flight, distinct locks`,
    about: 'A cycle: acquire and release.',
    inFlight,
    isContended: false,
    begin: peer => async worker => {
      const began = performance.now()
      const grant = await peer.acquire(`bench/${worker}`, worker)
      await grant.release()
      return performance.now() - began
    },
  }
}

function convoy(): Work {
  return {
    id: 'convoy',
    name: `One lock, ${CONVOY_WAITERS} want it`,
    about: 'A hand-over: from before the release is sent until the next holder has been told.',
    inFlight: CONVOY_WAITERS,
    isContended: true,
    begin: peer => {
      let releasedAt: number | null = null
      return async worker => {
        const grant = await peer.acquire('bench/convoy', worker)
        const latency = releasedAt === null ? null : performance.now() - releasedAt
        releasedAt = performance.now()
        await grant.release()
        return latency
      }
    },
  }
}

function zipf(): Work {
  const shares = Array.from({ length: ZIPF_LOCKS }, (_, index) => 1 / (index + 1) ** ZIPF_EXPONENT)
  const sum = shares.reduce((total, share) => total + share, 0)
  let below = 0
  const bounds = shares.map(share => {
    below += share / sum
    return below
  })
  return {
    id: 'zipf',
    name: `${ZIPF_LOCKS.toLocaleString('en-US')} locks, Zipf (s = ${ZIPF_EXPONENT}), ${ZIPF_WORKERS} in flight`,
    about: 'A cycle, its wait included.',
    inFlight: ZIPF_WORKERS,
    isContended: true,
    begin: peer => {
      const draws = Array.from({ length: ZIPF_WORKERS }, (_, worker) => drawer(worker + 1))
      return async worker => {
        const drawn = draws[worker]?.() ?? 0
        const began = performance.now()
        const grant = await peer.acquire(`zipf/${firstAbove(bounds, drawn)}`, worker)
        await grant.release()
        return performance.now() - began
      }
    },
  }
}

/** From 0 up to 1, the same for each seed: mulberry32 (public domain). */
function drawer(seed: number): () => number {
  let state = seed
  return () => {
    state = (state + 0x6d2b79f5) | 0
    let mixed = Math.imul(state ^ (state >>> 15), 1 | state)
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 4_294_967_296
  }
}

function firstAbove(bounds: readonly number[], value: number): number {
  let low = 0
  let high = bounds.length - 1
  while (low < high) {
    const middle = (low + high) >> 1
    if (bounds[middle]! > value) high = middle
    else low = middle + 1
  }
  return low
}
