/** One stretch of one work on one contender, and all that is measured of it. */
import { cpuSeconds, proportionalMiB, quantileOfSorted } from '../measure.ts'
import type { Peer } from '../peers/peer.ts'
import type { Work } from './works.ts'

/** null: it could not be measured here. */
export type Round = {
  cycles: number
  perSecond: number
  p50Ms: number
  p99Ms: number
  p999Ms: number
  /** Microseconds of CPU a cycle: all processes of its servers; this process. */
  serverCpuUs: number | null
  clientCpuUs: number
  /** Of all processes of its servers when the stretch ends. */
  memoryMiB: number | null
  commits: number | null
}

/** A cycle that takes longer than this after the stretch is over has been lost. */
const DRAIN_MS_MAX = 60_000

/** @throws what the contender throws, and when it does not come to an end. */
export async function round(peer: Peer, work: Work, seconds: number): Promise<Round> {
  const commitsBefore = await commitsOf(peer)
  const before = cpuOf(peer)
  const began = performance.now()
  const { cycles, cyclesInTime, latencies } = await closedLoops(peer, work, seconds)
  const elapsed = (performance.now() - began) / 1_000
  const after = cpuOf(peer)
  const commitsAfter = await commitsOf(peer)
  const sorted = latencies.sort()
  return {
    cycles,
    // What is in line when the stretch ends comes out one by one, which is not the work; what is in flight on locks of its own is.
    perSecond: work.isContended ? cyclesInTime / seconds : cycles / elapsed,
    p50Ms: quantileOfSorted(sorted, 0.5),
    p99Ms: quantileOfSorted(sorted, 0.99),
    p999Ms: quantileOfSorted(sorted, 0.999),
    serverCpuUs: perCycle(before.serverSeconds, after.serverSeconds, cycles / 1e6),
    clientCpuUs: (after.clientMicroseconds - before.clientMicroseconds) / cycles,
    memoryMiB: sum(peer.processes().map(proportionalMiB)),
    commits: perCycle(commitsBefore, commitsAfter, cycles),
  }
}

async function commitsOf({ commits }: Peer): Promise<number | null> {
  return typeof commits === 'string' ? null : commits()
}

function cpuOf(peer: Peer): { serverSeconds: number | null; clientMicroseconds: number } {
  const { user, system } = process.cpuUsage()
  return { clientMicroseconds: user + system, serverSeconds: sum(peer.processes().map(cpuSeconds)) }
}

type Loops = { cycles: number; cyclesInTime: number; latencies: Float64Array }

async function closedLoops(peer: Peer, work: Work, seconds: number): Promise<Loops> {
  const step = work.begin(peer)
  const latencies: number[] = []
  let cycles = 0
  let cyclesInTime = 0
  let failure: unknown = null
  const end = performance.now() + seconds * 1_000
  const loop = async (worker: number) => {
    for (let isOver = false; !isOver && !failure; ) {
      const latency = await step(worker)
      isOver = performance.now() >= end
      cycles++
      if (!isOver) cyclesInTime++
      if (latency !== null) latencies.push(latency)
    }
  }
  const failed = (error: unknown) => {
    failure ??= error
  }
  // All come to their end before a failure is told: none goes on into the next contender's time.
  const loops = Promise.all(Array.from({ length: work.inFlight }, (_, worker) => loop(worker).catch(failed)))
  await within(loops, seconds * 1_000 + DRAIN_MS_MAX)
  if (failure) throw failure
  return { cycles, cyclesInTime, latencies: Float64Array.from(latencies) }
}

async function within(promise: Promise<unknown>, ms: number): Promise<void> {
  const { promise: late, reject } = Promise.withResolvers<never>()
  const timer = setTimeout(() => reject(new Error(`some loops did not end within ${DRAIN_MS_MAX / 1_000} s`)), ms)
  try {
    await Promise.race([promise, late])
  } finally {
    clearTimeout(timer)
  }
}

function perCycle(before: number | null, after: number | null, cycles: number): number | null {
  return after === null || before === null ? null : (after - before) / cycles
}

/** null as soon as one is not known. */
function sum(values: readonly (number | null)[]): number | null {
  return values.reduce((total, value) => (total === null || value === null ? null : total + value), 0)
}
