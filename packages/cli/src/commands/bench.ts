/** `holdfast bench`: a load that watches the service while it makes it. For trying out what dies when, not for comparing products. */
import { type Holdfast, hasCode } from '@holdfast/client'
import { type Command, Option } from 'commander'
import { type AccessOptions, withAccess, withHoldfast } from '../access.ts'
import { every, monotonicMs } from '../clock.ts'
import { formatDuration, parseCount, parseDuration } from '../duration.ts'
import { facts, note, paint, printJson, printJsonLine, printLine } from '../output.ts'

type BenchOptions = AccessOptions & { workers: number; for: number; prefix: string; wait: number }

const WORKERS_DEFAULT = 16
const FOR_MS_DEFAULT = 10_000
const REPORT_MS = 1_000
/** Longer than any takeover: who waits longer has been forgotten. */
const WAIT_MS_DEFAULT = 30_000
/** A worker whose operation has failed looks again after this. */
const REST_MS = 200
/** Latencies that are kept of one report: enough for a p99 that means something. */
const KEPT_MAX = 100_000

export function define(program: Command): void {
  const command = program
    .command('bench')
    .summary('load the service, and watch how it bears it')
    .description(
      'Acquires and releases, one lock to each worker and one that all of them want, and says each second how it went. Watches that no token comes twice and nobody is let in beside another. Kill servers meanwhile, if there are several: `--url` takes all of them, with commas.',
    )
    .option('--workers <n>', 'how many do this at a time', parseCount, WORKERS_DEFAULT)
    .addOption(
      new Option('--for <duration>', 'how long; 0: until Ctrl-C')
        .argParser(parseDuration)
        .default(FOR_MS_DEFAULT, formatDuration(FOR_MS_DEFAULT)),
    )
    .addOption(
      new Option('--wait <duration>', 'an acquire that waits longer has failed; the answer may take 10 s more')
        .argParser(parseDuration)
        .default(WAIT_MS_DEFAULT, formatDuration(WAIT_MS_DEFAULT)),
    )
    .option('--prefix <prefix>', 'what the names of its locks begin with', 'bench/')
    .action(async (options: BenchOptions) => {
      process.exitCode = await withHoldfast(options, holdfast => bench(holdfast, options))
    })
  withAccess(command)
}

async function bench(holdfast: Holdfast, options: BenchOptions): Promise<number> {
  const load = new Load(holdfast, options)
  const stop = () => load.stop()
  for (const signal of ['SIGINT', 'SIGTERM'] as const) process.once(signal, stop)
  const stopReports = every(REPORT_MS, () => {
    const report = load.report()
    if (options.json) printJsonLine(report)
    else printLine(describe(report))
  })
  await load.run()
  stopReports()
  const total = load.total()
  if (options.json) printJson(total)
  else printLine(`\n${facts(factsOf(total))}`)
  return total.failed === 0 && total.isSound ? 0 : 1
}

type Report = { cycles: number; p50Ms: number; p99Ms: number; longestMs: number; failed: number }
type Total = { seconds: number; cycles: number; failed: number; longestMs: number; isSound: boolean; broken: string[] }

class Load {
  readonly #holdfast: Holdfast
  readonly #options: BenchOptions
  readonly #tokens = new Map<string, number>()
  readonly #broken = new Set<string>()
  readonly #began = monotonicMs()
  /** What has gone wrong since it was told last, and how often. */
  readonly #failures = new Map<string, number>()
  /** Since when each worker is at its cycle: one that hangs shows before it ends. */
  readonly #since: number[] = []
  #latencies: number[] = []
  #cycles = 0
  #failed = 0
  #longestMs = 0
  #reported = { cycles: 0, failed: 0 }
  #inside = 0
  #isOver = false

  constructor(holdfast: Holdfast, options: BenchOptions) {
    this.#holdfast = holdfast
    this.#options = options
  }

  async run(): Promise<void> {
    const { workers } = this.#options
    await Promise.all(Array.from({ length: workers }, (_, worker) => this.#work(worker)))
  }

  stop(): void {
    this.#isOver = true
  }

  report(): Report {
    const sorted = this.#latencies.sort((one, other) => one - other)
    const at = (share: number) => sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * share))] ?? 0
    const nowMs = monotonicMs()
    const longestMs = Math.max(at(1), ...this.#since.map(sinceMs => nowMs - sinceMs))
    const report = {
      cycles: this.#cycles - this.#reported.cycles,
      p50Ms: at(0.5),
      p99Ms: at(0.99),
      longestMs,
      failed: this.#failed - this.#reported.failed,
    }
    this.#longestMs = Math.max(this.#longestMs, longestMs)
    for (const [why, count] of this.#failures) note(count === 1 ? why : `${count} times: ${why}`)
    this.#failures.clear()
    this.#reported = { cycles: this.#cycles, failed: this.#failed }
    this.#latencies = []
    return report
  }

  total(): Total {
    this.report()
    const seconds = (monotonicMs() - this.#began) / 1_000
    const broken = [...this.#broken]
    const { cycles, failed } = this.#reported
    return { seconds, cycles, failed, longestMs: this.#longestMs, isSound: broken.length === 0, broken }
  }

  get #isDone(): boolean {
    const { for: forMs } = this.#options
    return this.#isOver || (forMs > 0 && monotonicMs() - this.#began >= forMs)
  }

  async #work(worker: number): Promise<void> {
    const { prefix } = this.#options
    for (let round = 0; !this.#isDone; round++) {
      // Now and then all of them want the same.
      const isShared = round % 16 === worker % 16
      this.#since[worker] = monotonicMs()
      try {
        await this.#cycle(isShared ? `${prefix}shared` : `${prefix}${worker}`, isShared)
        const tookMs = monotonicMs() - this.#since[worker]
        if (this.#latencies.length < KEPT_MAX) this.#latencies.push(tookMs)
        this.#cycles++
      } catch (error) {
        this.#failed++
        const why = error instanceof Error ? error.message : String(error)
        this.#failures.set(why, (this.#failures.get(why) ?? 0) + 1)
        // With such a key nothing will ever succeed.
        if (hasCode(error, 'unauthenticated') || hasCode(error, 'forbidden')) this.stop()
        await new Promise<void>(resolve => {
          const stop = every(REST_MS, () => {
            stop()
            resolve()
          })
        })
      }
    }
    this.#since[worker] = Number.POSITIVE_INFINITY
  }

  async #cycle(name: string, isShared: boolean): Promise<void> {
    const lock = await this.#holdfast.acquire(name, { waitMs: this.#options.wait })
    if (lock.token <= (this.#tokens.get(name) ?? 0)) this.#broken.add(`a token of ${name} did not grow`)
    this.#tokens.set(name, lock.token)
    if (isShared && ++this.#inside > 1) this.#broken.add(`two were inside ${name}`)
    // Let others try to come in meanwhile.
    if (isShared) await Promise.resolve()
    if (isShared) this.#inside--
    await lock.release()
  }
}

function describe({ cycles, p50Ms, p99Ms, longestMs, failed }: Report): string {
  const count = (value: number) => String(value).padStart(7)
  const ms = (value: number) => `${value.toFixed(value < 10 ? 1 : 0)} ms`.padStart(9)
  const bad = failed > 0 ? paint('red', `${failed} failed`) : '0 failed'
  return `${count(cycles)} cycles  p50${ms(p50Ms)}  p99${ms(p99Ms)}  longest${ms(longestMs)}  ${bad}`
}

function factsOf({ seconds, cycles, failed, longestMs, broken }: Total): [string, string | undefined][] {
  return [
    ['ran for', formatDuration(seconds * 1_000)],
    ['cycles', `${cycles}, ${Math.round(cycles / Math.max(1, seconds))} a second`],
    ['failed', String(failed)],
    ['longest', `${Math.round(longestMs)} ms until one of them was done`],
    ['broken', broken.length > 0 ? paint('red', broken.join('; ')) : undefined],
  ]
}
