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

/** CPU seconds that the process has used, by /proc; null where there is none. In ticks of 10 ms, but for a process of one thread finer where the kernel tells. */
export function cpuSeconds(pid: number): number | null {
  const fields = contentOf(`/proc/${pid}/stat`)?.split(') ')[1]?.split(' ')
  if (!fields) return null
  // Field 20 of proc(5). Many small processes would each be rounded down.
  const exact = fields[17] === '1' ? contentOf(`/proc/${pid}/schedstat`) : null
  // Fields 14 and 15, in ticks.
  return exact ? Number(exact.split(' ')[0]) / 1e9 : (Number(fields[11]) + Number(fields[12])) / 100
}

/** null: there is no such file, because there is no such process (any more) or no such file system. */
function contentOf(path: string): string | null {
  try {
    return readFileSync(path, 'utf8')
  } catch {
    // Said by the null, and by whoever then has nothing to show.
    return null
  }
}

/** Resident memory in MiB, now and at its highest. */
export function memoryMiB(pid: number): { now: number; peak: number } | null {
  const text = contentOf(`/proc/${pid}/status`)
  if (text === null) return null
  const field = (name: string) => Number(new RegExp(`${name}:\\s+(\\d+)`).exec(text)?.[1] ?? Number.NaN) / 1024
  return { now: field('VmRSS'), peak: field('VmHWM') }
}

/** Resident memory in MiB; what several processes share is divided among them, so that the sum over a family is true. */
export function proportionalMiB(pid: number): number | null {
  const kibibytes = /^Pss:\s+(\d+)/m.exec(contentOf(`/proc/${pid}/smaps_rollup`) ?? '')?.[1]
  return kibibytes === undefined ? null : Number(kibibytes) / 1024
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
