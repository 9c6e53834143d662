/** What each start of each server promises, told on the clock of the world: in chaos a tap writes it down, here whoever makes the servers listens. */
import type { CommitRequest, CommitResult } from '../../packages/server/src/engine/engine.ts'
import type { TurnAnswered } from '../../packages/server/src/shards/telemetry.ts'
import { Promising, type Told, type ToTell } from '../checker/promising.ts'
import type { Machine } from './machine.ts'

type Commits = { commit(request: CommitRequest): Promise<CommitResult> }

export class Promised {
  /** By place. */
  readonly told: Told[][] = []
  #starts = 0

  start(place: number, machine: Machine): PromisedStart {
    const told = this.told[place] ?? []
    this.told[place] = told
    const tell = (line: ToTell) => void told.push({ t: machine.schedule.nowMs, ...line })
    tell({ e: 'start', pid: ++this.#starts })
    return new PromisedStart(machine, tell)
  }
}

/** Since when the clock of the process lags behind by so much: it stands still while the machine is suspended. */
type Lag = { sinceMs: number; lagMs: number }

const LAG_MS_MIN = 0.001

class PromisedStart {
  readonly #machine: Machine
  readonly #tell: (line: ToTell) => void
  readonly #lags: Lag[] = []

  constructor(machine: Machine, tell: (line: ToTell) => void) {
    this.#machine = machine
    this.#tell = tell
  }

  /** Nothing runs in another order for it. */
  listen<Engine extends Commits>(engine: Engine): Engine {
    const { schedule } = this.#machine
    const promising = new Promising(() => schedule.nowMs, this.#tell, { tellsLog: false })
    const commit = engine.commit.bind(engine)
    engine.commit = request => {
      this.#look()
      promising.handed(request)
      const committed = commit(request)
      committed.then(
        result => promising.settled(request, result),
        () => undefined, // whoever sent it hears of it
      )
      return committed
    }
    return engine
  }

  answered({ shard, epoch, seq, asked, isLogged, decidedMs }: TurnAnswered): void {
    if (asked > 0) this.#tell({ e: 'answered', shard, epoch, seq, asked, isLogged, at: this.#realMs(decidedMs) })
  }

  #look(): void {
    const { schedule, rate } = this.#machine
    const lagMs = schedule.nowMs - this.#machine.hrtimeMs() / rate
    if (lagMs - (this.#lags.at(-1)?.lagMs ?? Number.NEGATIVE_INFINITY) > LAG_MS_MIN)
      this.#lags.push({ sinceMs: schedule.nowMs, lagMs })
  }

  /** In doubt early: whatever was read between the end of a suspension and the first commit after it may have been read before. */
  #realMs(hrtimeMs: number): number {
    this.#look()
    const atMs = (lag: Lag) => hrtimeMs / this.#machine.rate + lag.lagMs
    const lag = this.#lags.findLast(one => atMs(one) >= one.sinceMs) ?? this.#lags[0]
    return lag ? atMs(lag) : this.#machine.schedule.nowMs
  }
}
