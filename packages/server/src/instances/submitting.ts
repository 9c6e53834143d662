/**
 * From the spool to the metering service. What was accepted leaves it; of the rest there are two kinds. What nobody has said anything definite about
 * (no answer, a service that fails, "too many requests") stays and goes with the next run. What was **refused** will be refused again, until a person
 * has mended what it is refused for: it is put aside, with one line in the log that says what to do, and tried again rarely. When it has been refused
 * for two months its month has been billed: it is given up, with another line, and stays in the store for whoever bills it by hand. Nothing is ever
 * dropped, and no record waits for another.
 *
 * What is kept names plans as we do, for people; what is submitted, as the catalogue does (catalog-ids.ts): here, and nowhere else, the one becomes the other.
 *
 * A service may also refuse a submission as a whole because of one of its records. Then halves of it are submitted, until it is known which.
 */
import type { Calendar, Clock } from '../clock.ts'
import { commitKnown, decodeRecord, encodeRecord } from '../engine/commit.ts'
import type { Engine, KeyValue, Write } from '../engine/engine.ts'
import { planIdOf } from './catalog-ids.ts'
import { type Outcome, RefusedWhole, type Submit, type UsageRecord } from './submission.ts'
import { HOUR_MS } from './unit-hours.ts'

/** What was refused is tried again after an hour, then after twice as long each time, and at least once a day. */
export const RETRY_MS_FIRST = HOUR_MS
export const RETRY_MS_MAX = 24 * HOUR_MS
/** Then it is given up: after 31 hours and 61 days. */
export const REFUSALS_MAX = 67
/** Submissions that fail one after another: the service is away. Fewer may be the fault of what is submitted, and do not hold up the others. */
const FAILURES_MAX = 3
const PAGE = 100
/** Of times in keys, so that the order of bytes is theirs. */
const TIME_DIGITS = 15

export type SubmitterOptions = {
  engine: Engine
  clock: Clock
  calendar: Calendar
  root: string
  /** As the catalogue calls the service. */
  serviceName: string
  submit: Submit
  alarm(what: string, error: unknown): void
}

/** Where they lie; aside they have been refused so many times. */
type Lot = { records: UsageRecord[]; refusals: number }

export class Submitter {
  readonly #options: SubmitterOptions
  /** The last one that failed, when the service was away: others come first then. */
  #resumeAfter: string | null = null
  #isOver = false

  constructor(options: SubmitterOptions) {
    this.#options = options
  }

  close(): void {
    this.#isOver = true
  }

  /** Rejects when the service or the store is away. */
  async run(): Promise<void> {
    await this.#submitUnder(this.#keys.spool, () => true)
    const now = this.#options.calendar.now()
    if (now === null) return
    await this.#submitUnder(this.#keys.aside, key => Number(key.slice(this.#keys.aside.length).split('-')[0]) <= now)
  }

  get #keys() {
    const { root } = this.#options
    const under = `${root}/usage-export`
    return { spool: `${under}/spool/`, aside: `${under}/aside/`, givenUp: `${under}/given-up/` }
  }

  async #submitUnder(prefix: string, isDue: (key: string) => boolean): Promise<void> {
    let failures = 0
    let after = this.#resumeAfter?.startsWith(prefix) ? this.#resumeAfter : prefix
    this.#resumeAfter = null
    for (;;) {
      const { pairs, more } = await this.#options.engine.list({ prefix, limit: PAGE, after })
      for (const pair of pairs) {
        if (this.#isOver || !isDue(pair.key)) return
        try {
          await this.#submitLot(pair, prefix)
          failures = 0
        } catch (error) {
          if (++failures >= FAILURES_MAX) {
            this.#resumeAfter = pair.key
            throw error
          }
          if (!this.#isOver) this.#options.alarm('usage could not be submitted now; it will be tried again', error)
        }
      }
      if (!more) return
      after = pairs.at(-1)?.key ?? after
    }
  }

  async #submitLot(pair: KeyValue, prefix: string): Promise<void> {
    const lot = decodeLot(pair)
    const outcomes = await this.#outcomesOf(lot.records)
    if (this.#isOver) return
    const those = (type: Outcome['type']) =>
      lot.records.filter((_, index) => (outcomes[index]?.type ?? 'unknown') === type)
    const unknown = those('unknown')
    if (unknown.length > 0)
      this.#options.alarm(`${unknown.length} of ${lot.records.length} records of usage were not accepted`, null)
    if (unknown.length === lot.records.length) return
    const refused = those('refused')
    const name = prefix === this.#keys.spool ? pair.key.slice(prefix.length) : nameAside(pair.key.slice(prefix.length))
    const isNoted = await this.#note(
      pair,
      { ...lot, records: unknown },
      this.#aside(name, { ...lot, records: refused }),
    )
    const isFirst = lot.refusals === 0
    const isLast = lot.refusals + 1 === REFUSALS_MAX
    if (!isNoted || !(isFirst || isLast)) return
    for (const [index, record] of lot.records.entries()) {
      const outcome = outcomes[index]
      if (outcome?.type !== 'refused') continue
      const said = { why: outcome.why, planId: this.#planIdOf(record), isGivenUp: isLast }
      this.#options.alarm(sentenceOf(record, said), null)
    }
  }

  async #outcomesOf(records: readonly UsageRecord[]): Promise<readonly Outcome[]> {
    try {
      return await this.#options.submit(records.map(record => ({ ...record, plan_id: this.#planIdOf(record) })))
    } catch (error) {
      if (!(error instanceof RefusedWhole) || this.#isOver) throw error
      if (records.length === 1) return [{ type: 'refused', why: error.message }]
      const middle = Math.ceil(records.length / 2)
      const first = await this.#outcomesOf(records.slice(0, middle))
      return [...first, ...(await this.#outcomesOf(records.slice(middle)))]
    }
  }

  #planIdOf({ plan_id }: UsageRecord): string {
    return planIdOf({ serviceName: this.#options.serviceName, plan: plan_id })
  }

  /** Where what was refused goes, with when it is tried again as the first part of its key: what is due is listed first. */
  #aside(name: string, { records, refusals }: Lot): { key: string; value: Buffer } | null {
    if (records.length === 0) return null
    const value = encodeRecord({ records, refusals: refusals + 1 })
    if (refusals + 1 >= REFUSALS_MAX) return { key: `${this.#keys.givenUp}${name}`, value }
    const waitMs = Math.min(RETRY_MS_MAX, RETRY_MS_FIRST * 2 ** refusals)
    // While nobody knows what time it is nothing is tried again; then at once.
    const at = String((this.#options.calendar.now() ?? 0) + waitMs).padStart(TIME_DIGITS, '0')
    return { key: `${this.#keys.aside}${at}-${name}`, value }
  }

  /** What is left stays, what was refused goes aside, in one commit. False: somebody else was quicker; then it was submitted twice, which does no harm. */
  async #note(pair: KeyValue, left: Lot, aside: { key: string; value: Buffer } | null): Promise<boolean> {
    const { engine, clock, alarm } = this.#options
    const { key, modRevision } = pair
    const value = encodeRecord(left)
    const own: Write = left.records.length > 0 ? { key, value } : { key, delete: true }
    const known = await commitKnown({
      engine,
      clock,
      // Nothing that was put aside may be overwritten.
      checks: [{ key, modRevision }, ...(aside ? [{ key: aside.key, modRevision: 0 }] : [])],
      writes: [own, ...(aside ? [aside] : [])],
      passedAt: ([found, put]) => {
        if (aside) return put && Buffer.compare(put.value, aside.value) === 0 ? put.modRevision : null
        return found ? (Buffer.compare(found.value, value) === 0 ? found.modRevision : null) : 0
      },
      onUnknown: error => {
        // The store is being closed.
        if (this.#isOver) throw error
        alarm('it is not known yet whether submitted usage was noted', error)
      },
    })
    return known.ok
  }
}

/** Without the time. */
function nameAside(name: string): string {
  return name.slice(TIME_DIGITS + 1)
}

function decodeLot({ value }: KeyValue): Lot {
  // Written by this room, under a check; what lies in the spool has not been refused yet.
  const { records, refusals = 0 } = decodeRecord(value) as { records: UsageRecord[]; refusals?: number }
  return { records, refusals }
}

type Refusal = { why: string; planId: string; isGivenUp: boolean }

function sentenceOf(record: UsageRecord, { why, planId, isGivenUp }: Refusal): string {
  const { resource_instance_id, plan_id, start, measured_usage } = record
  const quantities = measured_usage.map(({ measure, quantity }) => `${quantity} ${measure}`).join(', ')
  const hour = new Date(start).toISOString()
  return `the metering service refuses the usage of ${resource_instance_id} in the hour from ${hour} (${quantities} on the plan ${plan_id}, in the catalogue ${planId}): ${why}. ${isGivenUp ? GIVEN_UP : TRIED_AGAIN}`
}

const TRIED_AGAIN =
  'The record is kept and tried again after an hour, then less often, at least once a day. See to it that the metering service knows this instance and this plan.'
const GIVEN_UP =
  'It has been refused for two months and is submitted no more: bill it by hand. It is kept in the store, under `usage-export/given-up/`.'
