/** What becomes of the service on a machine that others want too: its share of the cores, and no more than that. */
import { type ChildProcess, spawn } from 'node:child_process'
import { availableParallelism } from 'node:os'
import { holdfast } from '../holdfast.ts'
import { median, quantile } from '../measure.ts'
import { type Report, type Row, spreadOf } from '../report.ts'

const WORKERS = 64
/** For each core: so that somebody always waits for it. */
const LOOPS_PER_CORE = 2
/** A thread that gets its share never stands still for as long as the server calls a stall; one of a run is chance. */
const STALLS_MAX = 2

type Round = { perSecond: number; p99: number; max: number; stalls: number }

export async function busy({ isQuick }: { isQuick: boolean }): Promise<Report> {
  const bench = await holdfast()
  const seconds = isQuick ? 4 : 10
  const round = async (): Promise<Round> => {
    const before = await stallsOf(bench.server.url)
    const times: number[] = []
    const end = performance.now() + seconds * 1_000
    const worker = async (_: unknown, index: number) => {
      for (let beganMs = performance.now(); beganMs < end; beganMs = performance.now()) {
        const lock = await bench.client.acquire(`busy/${index}`)
        times.push(performance.now() - beganMs)
        await lock.release()
      }
    }
    await Promise.all(Array.from({ length: WORKERS }, worker))
    const stalls = (await stallsOf(bench.server.url)) - before
    return { perSecond: times.length / seconds, p99: quantile(times, 0.99), max: quantile(times, 1), stalls }
  }
  const alone: Round[] = []
  const beside: Round[] = []
  await round()
  for (let rounds = 0; rounds < (isQuick ? 1 : 3); rounds++) {
    alone.push(await round())
    const loops = busyLoops()
    beside.push(await round())
    for (const loop of loops) loop.kill('SIGKILL')
  }
  await bench.close()
  const stalls = beside.reduce((sum, one) => sum + one.stalls, 0)
  const name = `beside ${LOOPS_PER_CORE * availableParallelism()} busy loops`
  return {
    question: `${WORKERS} concurrent cycles on a machine that is busy with something else`,
    about: 'One server on LMDB and one client process; the loops want all of each core, at the same priority.',
    rows: [...rowsOf('alone', alone), ...rowsOf(name, beside)],
    verdicts: [
      { claim: `stalls of the server ${name}`, value: stalls, target: `≤ ${STALLS_MAX}`, isMet: stalls <= STALLS_MAX },
    ],
  }
}

function rowsOf(name: string, rounds: readonly Round[]): Row[] {
  const row = (what: string, unit: string, of: (round: Round) => number): Row => {
    const values = rounds.map(of)
    return { name: `${name}: ${what}`, value: median(values), unit, spread: spreadOf(values) }
  }
  return [
    row('cycles', 'cycles/s', ({ perSecond }) => perSecond),
    row('acquire p99', 'ms', ({ p99 }) => p99),
    row('longest acquire', 'ms', ({ max }) => max),
    row('stalls', '', ({ stalls }) => stalls),
  ]
}

function busyLoops(): ChildProcess[] {
  const count = LOOPS_PER_CORE * availableParallelism()
  return Array.from({ length: count }, () => spawn('sh', ['-c', 'while :; do :; done'], { stdio: 'ignore' }))
}

/** Times that the server's event loop stood still. */
async function stallsOf(url: string): Promise<number> {
  const text = await (await fetch(`${url}/metrics`)).text()
  return Number(/^holdfast_loop_stalls_total (\d+)$/m.exec(text)?.[1])
}
