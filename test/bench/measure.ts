/** Measuring: closed loops, medians of interleaved rounds, latencies, and the CPU and memory of another process as the kernel counts them. */
import { readFileSync } from 'node:fs'

export type Cycle = (worker: number) => Promise<void>

/** Cycles a second of `workers` closed loops over about `seconds`. */
export async function rate(cycle: Cycle, options: { workers: number; seconds: number }): Promise<number> {
  let count = 0
  const began = performance.now()
  const end = began + options.seconds * 1000
  await Promise.all(
    Array.from({ length: options.workers }, async (_, worker) => {
      while (performance.now() < end) {
        await cycle(worker)
        count++
      }
    }),
  )
  return count / ((performance.now() - began) / 1000)
}

/** Milliseconds of each of `count` calls, one after another. */
export async function latencies(call: () => Promise<void>, count: number): Promise<number[]> {
  const times: number[] = []
  for (let index = 0; index < count; index++) {
    const began = performance.now()
    await call()
    times.push(performance.now() - began)
  }
  return times
}

export function quantile(values: readonly number[], share: number): number {
  return quantileOfSorted(Float64Array.from(values).sort(), share)
}

export function quantileOfSorted(sorted: Float64Array, share: number): number {
  return sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * share))] ?? Number.NaN
}

export const median = (values: readonly number[]) => quantile(values, 0.5)

/** CPU seconds that the process has used, by /proc; null where there is none. */
export function cpuSeconds(pid: number): number | null {
  try {
    const fields = readFileSync(`/proc/${pid}/stat`, 'utf8').split(') ')[1]?.split(' ') ?? []
    // Fields 14 and 15 of proc(5), in ticks of 10 ms.
    return (Number(fields[11]) + Number(fields[12])) / 100
  } catch {
    // No such file system, or the process has gone: the row says that it was not measured.
    return null
  }
}

/** Resident memory in MiB, now and at its highest. */
export function memoryMiB(pid: number): { now: number; peak: number } | null {
  try {
    const text = readFileSync(`/proc/${pid}/status`, 'utf8')
    const field = (name: string) => Number(new RegExp(`${name}:\\s+(\\d+)`).exec(text)?.[1] ?? Number.NaN) / 1024
    return { now: field('VmRSS'), peak: field('VmHWM') }
  } catch {
    // As above.
    return null
  }
}

/** Resident memory in MiB; what several processes share is divided among them, so that the sum over a family is true. */
export function proportionalMiB(pid: number): number | null {
  try {
    return Number(/^Pss:\s+(\d+)/m.exec(readFileSync(`/proc/${pid}/smaps_rollup`, 'utf8'))?.[1] ?? Number.NaN) / 1024
  } catch {
    // As above.
    return null
  }
}

/** The contenders take turns, so that a machine whose speed drifts is fair to all: the median of the rounds counts. */
export async function interleaved<Name extends string>(
  contenders: Record<Name, () => Promise<number>>,
  rounds: number,
): Promise<Record<Name, number[]>> {
  const names = Object.keys(contenders) as Name[]
  const results = Object.fromEntries(names.map(name => [name, [] as number[]])) as Record<Name, number[]>
  for (let round = 0; round < rounds; round++) for (const name of names) results[name].push(await contenders[name]())
  return results
}
