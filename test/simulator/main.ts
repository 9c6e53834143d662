/** `npm run simulate`: whole servers, clients and store on virtual time, from one seed after another; a violation is shrunk and printed with what plays it again. */
import { fork } from 'node:child_process'
import { availableParallelism } from 'node:os'
import { fileURLToPath } from 'node:url'
import { commandLine } from '../../scripts/command-line.ts'
import { nodeFlags } from '../../scripts/node.mjs'
import { type Plan, planOf } from './plan.ts'
import { judge, shrink, type Verdict } from './run.ts'
import { Tally } from './tally.ts'

const SEEDS = 5_000
const OPERATIONS = 1_000
const PROGRESS_MS = 10_000
/** Lines before the violation that are shown; the whole timeline comes with `--timeline`. */
const WINDOW_LINES = 60

const options = commandLine({
  name: 'npm run simulate',
  about:
    'Whole servers, clients and store on virtual time. Stops at the first violation, shrinks it, and prints the window that shows it and the command that plays it again. ' +
    'Ends with 0 when all seeds are green and every history could be judged.',
  options: {
    seeds: { is: 'number', about: `how many (${SEEDS}; with --seed, that one)` },
    operations: { is: 'number', default: OPERATIONS, about: 'of the clients in each' },
    seed: { is: 'number', about: 'the first' },
    soak: { is: 'flag', about: 'until it is stopped' },
    timeline: { is: 'flag', about: 'of --plan: all of it, not only what is before the end' },
    plan: { is: 'text', value: 'JSON', about: 'play this one, as a violation was printed with' },
    workers: { is: 'number', default: availableParallelism(), about: 'processes' },
  },
})
const { operations, seed: first = 1 } = options
const seeds = options.soak ? Number.POSITIVE_INFINITY : (options.seeds ?? (options.seed === undefined ? SEEDS : 1))

process.exitCode = options.plan !== undefined ? await replay(JSON.parse(options.plan)) : await runAll()

/** Plays one plan and tells all of it. */
async function replay(plan: Plan): Promise<number> {
  const lines: string[] = []
  const verdict = await judge(plan, line => lines.push(line))
  console.log(lines.slice(options.timeline ? 0 : -WINDOW_LINES).join('\n'))
  console.log(verdict.isGreen ? `green: ${JSON.stringify(verdict.figures)}` : verdict.message)
  return verdict.isGreen && verdict.figures.undecided === 0 ? 0 : 1
}

async function runAll(): Promise<number> {
  const tally = new Tally()
  let isStopped = false
  process.once('SIGINT', () => {
    isStopped = true
    console.log('stopping …')
  })
  let next = first
  let failure: Extract<Verdict, { isGreen: false }> | null = null
  const progress = setInterval(() => console.log(tally.line()), PROGRESS_MS)
  const count = Math.min(seeds, options.workers)
  await Promise.all(
    Array.from({ length: count }, async () => {
      const ask = worker()
      while (!isStopped && !failure && next < first + seeds) {
        const verdict = await ask(next++)
        if (verdict.isGreen) tally.add(verdict.seed, verdict.figures, verdict.cpuMs)
        else failure ??= verdict
      }
      ask.end()
    }),
  )
  clearInterval(progress)
  console.log(tally.report())
  if (failure) return explain(failure)
  return tally.seeds > 0 && tally.undecided.length === 0 ? 0 : 1
}

/** A process of its own that takes one seed at a time. */
function worker() {
  const child = fork(fileURLToPath(new URL('./worker.ts', import.meta.url)), { execArgv: [...nodeFlags] })
  const ask = (seed: number) =>
    new Promise<Verdict>((resolve, reject) => {
      const ended = (code: number | null, signal: string | null) =>
        reject(new Error(`the process that ran seed ${seed} has ended: ${code ?? signal}`))
      child.once('message', message => {
        child.off('exit', ended)
        resolve(message as Verdict) // of worker.ts
      })
      child.once('exit', ended)
      child.send({ seed, operations })
    })
  return Object.assign(ask, { end: () => child.disconnect() })
}

async function explain({ seed, invariant, message, atMs }: Extract<Verdict, { isGreen: false }>): Promise<number> {
  console.log(`\ninvariant ${invariant}  seed ${seed}  at ${(atMs / 1_000).toFixed(3)} s\n${message}\nshrinking …`)
  const { plan, verdict, runs, faultsTaken } = await shrink(planOf(seed, operations), invariant)
  const lines: string[] = []
  await judge(plan, line => lines.push(line))
  const isSame = !verdict.isGreen && verdict.invariant === invariant
  console.log(
    `window    the last ${Math.min(WINDOW_LINES, lines.length)} of ${lines.length} lines; ${plan.faults.length} faults (${faultsTaken} left out), ${plan.clients} clients, ${plan.operations} operations; ${runs} runs`,
  )
  console.log(lines.slice(-WINDOW_LINES).join('\n'))
  console.log(verdict.isGreen ? 'It did not come again: the run is not deterministic.' : verdict.message)
  console.log(`replay    npm run simulate -- --seed ${seed} --operations ${operations}`)
  if (isSame) console.log(`smallest  npm run simulate -- --timeline --plan '${JSON.stringify(plan)}'`)
  return 1
}
