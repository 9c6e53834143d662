/**
 * Wall time for whatever deletes or closes something by it: the trail that is old enough to go, the sums of usage, the instances whose week is over, the
 * hours that are billed. A clock that is wrong for ten seconds must not do in these what a year would have done: none of it can be taken back.
 *
 * What is promised:
 * - A step of the clock of a running process is noticed before anything rests on it, by comparing it with the time since the machine started: there is
 *   an alarm, and this process deletes and closes nothing until its clock has gone evenly for `STOOD_MS`.
 * - A process that begins with a wrong clock knows nothing of a step. So how far the calendar has come is kept in the store; who begins within
 *   `STEP_MS` of that goes on at once, and who does not says so and waits like the other.
 * - However wrong the clock is, and for however long, the calendar of a server goes on by `STEP_MS` at most for each `STOOD_MS`. After a month in which
 *   nothing ran it takes more than a day to catch up, which does no harm: later is never wrong.
 *
 * What is not: a clock that is wrong by less than `MOVED_MS` in the process, or `STEP_MS` at its start, is not noticed. On a store of which nothing is
 * known yet the clock is taken as it is, when it has stood. A clock that stays wrong moves the calendar day by day until somebody heeds the alarm.
 * Labels (the `at` of a record) are as wrong as the clock was, and so is what people set by the calendar (the end of a freeze, of a key).
 */
import { type Calendar, type Cancel, type Clock, every } from '../clock.ts'
import { commitKnown, decodeRecord, encodeRecord, sameBytes } from '../engine/commit.ts'
import type { Engine } from '../engine/engine.ts'

/** The clock was set, and did not merely drift. */
export const MOVED_MS = 5 * 60 * 1_000
/** For so long it must go evenly before it is believed; and how often the store is told how far the calendar has come. */
export const STOOD_MS = 60 * 60 * 1_000
/** How far the calendar goes on at most between two of these. Most stops of a service are shorter. */
export const STEP_MS = 24 * 60 * 60 * 1_000

export type StoredCalendarOptions = {
  engine: Engine
  clock: Clock
  root: string
  /** Something that must not be: a person should look. */
  alarm(what: string, error: unknown): void
}

export class StoredCalendar implements Calendar {
  readonly #options: StoredCalendarOptions
  /** By how much the wall clock was ahead of the time since the machine started, when it was last set. */
  #offsetMs: number
  /** On the clock since the machine started: from when on it has gone evenly. */
  #sinceMs: number
  /** How far the store has seen the calendar come; null: nothing is known of it. */
  #seenAt: number | null = null
  #cancel: Cancel = () => undefined
  #isOver = false

  constructor(options: StoredCalendarOptions) {
    this.#options = options
    const { clock } = options
    this.#sinceMs = clock.bootMs()
    this.#offsetMs = clock.wallMs() - this.#sinceMs
  }

  now(): number | null {
    const { clock } = this.#options
    const [wallMs, bootMs] = [clock.wallMs(), clock.bootMs()]
    const movedMs = wallMs - bootMs - this.#offsetMs
    if (Math.abs(movedMs) > MOVED_MS) {
      this.#offsetMs += movedMs
      this.#sinceMs = bootMs
      this.#options.alarm(`The clock of this machine was set ${lengthOf(movedMs)}. ${REST}`, null)
    }
    if (this.#seenAt === null || bootMs - this.#sinceMs < STOOD_MS) return null
    return Math.min(wallMs, this.#seenAt + STEP_MS)
  }

  /** When the store is known to be there. Never rejects. */
  async start(): Promise<void> {
    await this.#attempt(async () => {
      const { seenAt } = await this.#read()
      this.#seenAt = seenAt
      if (seenAt === null) return
      const aheadMs = this.#options.clock.wallMs() - seenAt
      if (Math.abs(aheadMs) <= STEP_MS) this.#sinceMs = Number.NEGATIVE_INFINITY
      else {
        const why = `The clock of this machine is ${lengthOf(aheadMs)} of what the store has seen.`
        const advice = `Either nothing ran on it for so long, or the clock is wrong; then set it right before the hour is over.`
        this.#options.alarm(`${why} ${advice} ${REST}`, null)
      }
    })
    if (!this.#isOver) this.#cancel = every(this.#options.clock, STOOD_MS, () => this.#attempt(() => this.#advance()))
  }

  stop(): void {
    this.#isOver = true
    this.#cancel()
  }

  /** Tells the store how far the calendar has come. It goes back as well: a clock that has stood is as good as the one before. */
  async #advance(): Promise<void> {
    const { engine, clock } = this.#options
    const { seenAt, revision } = await this.#read()
    this.#seenAt = seenAt ?? clock.wallMs()
    const at = this.now()
    if (at === null) {
      this.#seenAt = seenAt
      return
    }
    const bytes = encodeRecord({ at })
    const known = await commitKnown({
      engine,
      clock,
      checks: [{ key: this.#key, modRevision: revision }],
      writes: [{ key: this.#key, value: bytes }],
      passedAt: sameBytes(0, bytes),
      onUnknown: error => {
        if (this.#isOver) throw error
      },
    })
    // Else another server was quicker: what it wrote is read the next time.
    if (known.ok) this.#seenAt = at
  }

  async #read(): Promise<{ seenAt: number | null; revision: number }> {
    const pair = await this.#options.engine.read(this.#key)
    if (!pair) return { seenAt: null, revision: 0 }
    const { at } = decodeRecord(pair.value)
    if (typeof at !== 'number' || !Number.isFinite(at)) throw new Error(`${this.#key} is damaged; delete it`)
    return { seenAt: at, revision: pair.modRevision }
  }

  async #attempt(act: () => Promise<void>): Promise<void> {
    try {
      await act()
    } catch (error) {
      if (!this.#isOver) this.#options.alarm('How far the calendar has come could not be looked at now.', error)
    }
  }

  get #key(): string {
    return `${this.#options.root}/calendar`
  }
}

const REST =
  'Until it has gone evenly for an hour nothing is deleted or closed by it here: no part of the trail, no usage, no instance; and then by a day at most each hour.'

function lengthOf(ms: number): string {
  const minutes = Math.round(Math.abs(ms) / 60_000)
  const length = minutes < 3 * 24 * 60 ? `${minutes} minutes` : `${Math.round(minutes / (24 * 60))} days`
  return `${length} ${ms > 0 ? 'ahead' : 'back'}`
}
