/** One seed from its plan to its verdict. */
import { type Fault, type Plan, planOf } from './plan.ts'
import { type Figures, World } from './world.ts'

/** `cpuMs`: of this process meanwhile, its helping threads included. */
export type Verdict = { seed: number; ms: number; cpuMs: number } & (
  | { isGreen: true; figures: Figures }
  /** `invariant`: by its name in VERIFICATION section 6, or the kind of error. */
  | { isGreen: false; invariant: string; message: string; atMs: number; stack: string | undefined }
)

export async function judge(plan: Plan, tell?: (line: string) => void): Promise<Verdict> {
  const startedMs = performance.now()
  const startedCpu = process.cpuUsage()
  const world = new World(plan)
  if (tell) world.tell = what => tell(`${world.schedule.nowMs.toFixed(3).padStart(12)}  ${what()}`)
  const took = () => {
    const { user, system } = process.cpuUsage(startedCpu)
    return { ms: Math.round(performance.now() - startedMs), cpuMs: Math.round((user + system) / 1_000) }
  }
  try {
    const figures = await world.run()
    return { seed: plan.seed, ...took(), isGreen: true, figures }
  } catch (error) {
    const { message, name, stack } = error instanceof Error ? error : new Error(String(error))
    const invariant = name === 'Violation' ? message.slice(0, message.indexOf(':')) : name
    return { seed: plan.seed, ...took(), isGreen: false, invariant, message, atMs: world.schedule.nowMs, stack }
  }
}

export type Shrunk = { plan: Plan; verdict: Verdict; runs: number; faultsTaken: number }

/** Runs that shrinking may take. */
const SHRINK_RUNS_MAX = 120

/**
 * A smaller plan that breaks the same invariant: fewer faults, then fewer operations, clients and lines of work. Greedy: what can be left out alone is
 * left out.
 */
export async function shrink(plan: Plan, invariant: string): Promise<Shrunk> {
  let best = plan
  let verdict = await judge(plan)
  let runs = 1
  const attempt = async (smaller: Plan): Promise<boolean> => {
    if (runs >= SHRINK_RUNS_MAX) return false
    runs++
    const next = await judge(smaller)
    if (next.isGreen || next.invariant !== invariant) return false
    best = smaller
    verdict = next
    return true
  }
  if (!verdict.isGreen) {
    const { atMs } = verdict
    await attempt({ ...best, faults: best.faults.filter(fault => fault.atMs <= atMs + 1_000) })
  }
  for (let size = Math.ceil(best.faults.length / 2); size >= 1; size = size === 1 ? 0 : Math.ceil(size / 2))
    for (let from = 0; from < best.faults.length; )
      if (!(await attempt({ ...best, faults: without(best.faults, from, size) }))) from += size
  await attempt({ ...best, storeRates: {} })
  for (let operations = Math.floor(best.operations / 2); operations > 10; operations = Math.floor(operations / 2))
    if (!(await attempt({ ...best, operations }))) break
  while (best.workers > 1 && (await attempt({ ...best, workers: best.workers - 1 })));
  while (best.clients > 2 && (await attempt({ ...best, clients: best.clients - 1 })));
  return { plan: best, verdict, runs, faultsTaken: plan.faults.length - best.faults.length }
}

function without(faults: readonly Fault[], from: number, count: number): Fault[] {
  return faults.filter((_, place) => place < from || place >= from + count)
}

export { planOf }
