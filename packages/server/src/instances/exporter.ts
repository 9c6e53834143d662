/**
 * Submits what instances are metered by to IBM's metering service, in its format (ECOSYSTEM 1.9): each closed hour of each instance once, again
 * until it is accepted, for IBM does not ask again.
 *
 * Two steps, so that neither a crash nor a change of server loses or alters an hour. First the hour is put into a spool in the store, in one commit
 * with the cursor that says up to which hour and instance this has been done; from then on its figures are fixed, whatever becomes of the instance
 * or its plan. Then what lies in the spool is submitted, and taken out when it has been accepted. An answer that was lost is followed by the same
 * records with the same times, by which the receiver knows them (submitting.ts).
 *
 * An instance that is gone for good is spooled like the others: what it is metered by stays in the registry, in the commit in which it goes.
 */
import { type Calendar, type Cancel, type Clock, every } from '../clock.ts'
import { commitKnown, decodeRecord, encodeRecord, sameBytes } from '../engine/commit.ts'
import type { Engine, KeyValue } from '../engine/engine.ts'
import type { Registry } from '../registry/port.ts'
import type { InstanceRecord, ReclaimedRecord } from '../registry/records.ts'
import { hourOf } from './counts.ts'
import { planOf } from './plans.ts'
import type { Submit, UsageRecord } from './submission.ts'
import { Submitter } from './submitting.ts'
import { HOUR_MS, metered, unitHours } from './unit-hours.ts'

export const MEASURE = 'CAPACITY_UNIT_HOURS'
/** An hour is closed when it has been over for so long: clocks of servers differ a little. */
const CLOSED_AFTER_MS = 60_000
/** How often is looked, and how long after a failure. */
const LOOK_MS = 60_000
/** Records of one submission, and of one record of the spool. */
export const RECORDS_PER_SUBMISSION_MAX = 100

export type ExportConfig = { submit: Submit }

export type ExporterOptions = {
  engine: Engine
  clock: Clock
  calendar: Calendar
  root: string
  registry: Registry
  /** As the catalogue calls the service. */
  serviceName: string
  config: ExportConfig
  /** Whether it is for this server to do. */
  isTurn(): boolean
  alarm(what: string, error: unknown): void
}

/** The hour that is to be spooled next, and its instances beyond which. */
type Cursor = { hourMs: number; after: string }

export class Exporter {
  readonly #options: ExporterOptions
  readonly #submitter: Submitter
  #cancelTimer: Cancel = () => undefined
  #running: Promise<void> | null = null
  #isOver = false

  constructor(options: ExporterOptions) {
    this.#options = options
    this.#submitter = new Submitter({ ...options, submit: options.config.submit })
  }

  start(): void {
    void this.run()
    this.#cancelTimer = every(this.#options.clock, LOOK_MS, () => this.run())
  }

  /** Spools what is closed and submits what is spooled. Never rejects: what failed is done the next time. */
  run(): Promise<void> {
    this.#running ??= this.#runOnce().finally(() => {
      this.#running = null
    })
    return this.#running
  }

  /** What is on its way is not waited for: it is sent again by whoever comes next. */
  close(): void {
    this.#isOver = true
    this.#submitter.close()
    this.#cancelTimer()
  }

  async #runOnce(): Promise<void> {
    if (!this.#options.isTurn()) return
    try {
      while (!this.#isOver && (await this.#spool()));
      await this.#submitter.run()
    } catch (error) {
      if (!this.#isOver) this.#options.alarm('usage could not be submitted now', error)
    }
  }

  get #keys() {
    const { root } = this.#options
    return { cursor: `${root}/usage-export/cursor`, spool: `${root}/usage-export/spool/` }
  }

  /** Puts the next instances of the next closed hour into the spool. Returns whether there may be more. */
  async #spool(): Promise<boolean> {
    const { engine, clock, calendar, registry } = this.#options
    const now = calendar.now()
    // What is known of instances must be younger than the end of the hour.
    if (now === null || !registry.isFresh) return false
    const pair = await engine.read(this.#keys.cursor)
    // Whoever turns this on is billed from then on.
    const cursor = pair ? decodeCursor(pair) : { hourMs: hourOf(now), after: '' }
    if (pair && cursor.hourMs + HOUR_MS + CLOSED_AFTER_MS > now) return false
    const { records, last, more } = pair ? this.#recordsOf(cursor) : { records: [], last: '', more: false }
    const next: Cursor = !pair || more ? { ...cursor, after: last } : { hourMs: cursor.hourMs + HOUR_MS, after: '' }
    const bytes = encodeRecord(next)
    const spool = records.length > 0 && {
      key: `${this.#keys.spool}${cursor.hourMs}-${cursor.after}`,
      value: encodeRecord({ records }),
    }
    const known = await commitKnown({
      engine,
      clock,
      checks: [{ key: this.#keys.cursor, modRevision: pair?.modRevision ?? 0 }],
      writes: [{ key: this.#keys.cursor, value: bytes }, ...(spool ? [spool] : [])],
      // Whoever has written the same cursor has spooled the same hour.
      passedAt: sameBytes(0, bytes),
      onUnknown: error => this.#unknown('it is not known yet whether usage was spooled', error),
    })
    return known.ok
  }

  #recordsOf({ hourMs, after }: Cursor): { records: UsageRecord[]; last: string; more: boolean } {
    const { registry } = this.#options
    const records: UsageRecord[] = []
    let last = after
    for (const instance of meteredIn(registry)) {
      if (instance.id <= after) continue
      if (records.length >= RECORDS_PER_SUBMISSION_MAX) return { records, last, more: true }
      last = instance.id
      const span = { fromMs: hourMs, toMs: hourMs + HOUR_MS }
      for (const part of metered(instance, id => planOf(registry, id), span)) {
        records.push({
          resource_instance_id: instance.crn,
          plan_id: part.plan,
          region: instance.region,
          start: span.fromMs,
          end: span.toMs,
          measured_usage: [{ measure: MEASURE, quantity: unitHours([part]) }],
        })
      }
    }
    return { records, last, more: false }
  }

  #unknown(what: string, error: unknown): void {
    // The store is being closed.
    if (this.#isOver) throw error
    this.#options.alarm(what, error)
  }
}

/** Those that there are and those that are gone for good, in the order of their ids: also while one becomes the other. */
function* meteredIn(registry: Registry): Iterable<InstanceRecord | ReclaimedRecord> {
  const gone = registry.all('reclaimed')[Symbol.iterator]()
  let next = gone.next()
  for (const instance of registry.all('instance')) {
    for (; !next.done && next.value.id < instance.id; next = gone.next()) yield next.value
    yield instance
  }
  for (; !next.done; next = gone.next()) yield next.value
}

function decodeCursor({ value }: KeyValue): Cursor {
  const { hourMs, after } = decodeRecord(value)
  if (typeof hourMs !== 'number' || typeof after !== 'string') throw new Error('the cursor of the export is damaged')
  return { hourMs, after }
}
