/**
 * Submits what instances are metered by to IBM's metering service, in its format (ECOSYSTEM 1.9): each closed hour of each instance once, again
 * until it is accepted, for IBM does not ask again.
 *
 * Two steps, so that neither a crash nor a change of server loses or alters an hour. First the hour is put into a spool in the store, in one commit
 * with the cursor that says up to which hour and instance this has been done; from then on its figures are fixed, whatever becomes of the instance
 * or its plan. Then what lies in the spool is submitted, and taken out when it has been accepted. An answer that was lost is followed by the same
 * records with the same times, by which the receiver knows them.
 */
import type { Cancel, Clock } from '../clock.ts'
import { commitKnown, decodeRecord, encodeRecord, sameBytes } from '../engine/commit.ts'
import type { Engine, KeyValue } from '../engine/engine.ts'
import type { Registry } from '../registry/port.ts'
import { hourOf } from './counts.ts'
import { planOf } from './plans.ts'
import type { UsageRecord } from './submission.ts'
import { HOUR_MS, metered, unitHours } from './unit-hours.ts'

export const MEASURE = 'CAPACITY_UNIT_HOURS'
/** An hour is closed when it has been over for so long: clocks of servers differ a little. */
const CLOSED_AFTER_MS = 60_000
/** How often is looked, and how long after a failure. */
const LOOK_MS = 60_000
/** Records of one submission, and of one record of the spool. */
export const RECORDS_PER_SUBMISSION_MAX = 100

/** Sends them; says of each, in order, whether it has been accepted. Rejects when nothing is known. */
export type Submit = (records: readonly UsageRecord[]) => Promise<readonly boolean[]>

export type ExportConfig = { submit: Submit }

export type ExporterOptions = {
  engine: Engine
  clock: Clock
  root: string
  registry: Registry
  config: ExportConfig
  /** Whether it is for this server to do. */
  isTurn(): boolean
  alarm(what: string, error: unknown): void
}

/** The hour that is to be spooled next, and its instances beyond which. */
type Cursor = { hourMs: number; after: string }

export class Exporter {
  readonly #options: ExporterOptions
  #cancelTimer: Cancel = () => undefined
  #running: Promise<void> | null = null
  #isOver = false

  constructor(options: ExporterOptions) {
    this.#options = options
  }

  start(): void {
    void this.run().then(() => {
      if (!this.#isOver) this.#cancelTimer = this.#options.clock.after(LOOK_MS, () => this.start())
    })
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
    this.#cancelTimer()
  }

  async #runOnce(): Promise<void> {
    if (!this.#options.isTurn()) return
    try {
      while (!this.#isOver && (await this.#spool()));
      await this.#submitAll()
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
    const { engine, clock } = this.#options
    const pair = await engine.read(this.#keys.cursor)
    // Whoever turns this on is billed from then on.
    const cursor = pair ? decodeCursor(pair) : { hourMs: hourOf(clock.wallMs()), after: '' }
    if (pair && cursor.hourMs + HOUR_MS + CLOSED_AFTER_MS > clock.wallMs()) return false
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
    for (const instance of registry.all('instance')) {
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

  async #submitAll(): Promise<void> {
    const { engine } = this.#options
    for (let after = this.#keys.spool; ; ) {
      const { pairs, more } = await engine.list({ prefix: this.#keys.spool, limit: 100, after })
      for (const pair of pairs) {
        if (this.#isOver) return
        await this.#submitOne(pair)
      }
      if (!more) return
      after = pairs.at(-1)?.key ?? after
    }
  }

  /** What has been accepted leaves the spool; the rest stays for the next time. */
  async #submitOne({ key, value, modRevision }: KeyValue): Promise<void> {
    const { engine, clock, config, alarm } = this.#options
    // Written by this code, under a check.
    const { records } = decodeRecord(value) as { records: UsageRecord[] }
    const accepted = await config.submit(records)
    if (this.#isOver) return
    const rest = records.filter((_, index) => accepted[index] !== true)
    if (rest.length > 0) alarm(`${rest.length} of ${records.length} records of usage were not accepted`, null)
    if (rest.length === records.length) return
    const bytes = encodeRecord({ records: rest })
    await commitKnown({
      engine,
      clock,
      checks: [{ key, modRevision }],
      writes: [rest.length > 0 ? { key, value: bytes } : { key, delete: true }],
      // If somebody else has changed it, they were accepted twice, which does no harm.
      passedAt: ([found]) => (found ? (Buffer.compare(found.value, bytes) === 0 ? found.modRevision : null) : 0),
      onUnknown: error => this.#unknown('it is not known yet whether submitted usage was noted', error),
    })
  }

  #unknown(what: string, error: unknown): void {
    // The store is being closed.
    if (this.#isOver) throw error
    this.#options.alarm(what, error)
  }
}

function decodeCursor({ value }: KeyValue): Cursor {
  const { hourMs, after } = decodeRecord(value)
  if (typeof hourMs !== 'number' || typeof after !== 'string') throw new Error('the cursor of the export is damaged')
  return { hourMs, after }
}
