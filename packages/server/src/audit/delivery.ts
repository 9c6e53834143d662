/**
 * Brings the trail to a sink. Every record at least once, in the order of its shard: a cursor in the store says how far a sink has come, and moves only
 * when the sink has taken what was before it. So a server that is killed in between sends some again, and whoever receives tells them by their ids.
 *
 * The owner of a shard sends that shard's records, the owner of the first the administrative trail too. Nothing is buffered but the records of one
 * sending: what has not been sent lies in the log and its archive. A sink that is away for longer than the archive reaches misses what
 * has been dropped, which is counted.
 *
 * Two things fail apart. A sink that does not take what it is sent would take nothing else either: all of it waits. What cannot be read in one place (a
 * batch that somebody has spoilt), or whose cursor has moved elsewhere, rests alone, and the other shards go on.
 */
import type { Cancel, Clock } from '../clock.ts'
import { decodeRecord, encodeRecord } from '../engine/commit.ts'
import type { Engine } from '../engine/engine.ts'
import { decodeLink, hashLink, type RegistryKeys } from '../registry/store.ts'
import { batchText, hashBatch, parseBatch } from '../shards/batch.ts'
import type { Keys } from '../shards/keys.ts'
import { newestLinkOf } from './heads.ts'
import type { AuditKeys } from './keys.ts'
import { LogReader } from './reading.ts'
import { type Placed, recordsOfBatch, recordsOfLink } from './record.ts'
import type { Sink } from './sinks/sink.ts'

export type DeliveryTelemetry = {
  sent(sent: { sink: string; records: number }): void
  failed(failure: { sink: string; error: unknown; awayMs: number }): void
  /** It takes what it is sent, or nothing is waiting for it here any more. May be said again and again. */
  well(well: { sink: string }): void
  /** A part of the trail (a shard, or that of administration) could not be read for it, or its cursor not be moved; it will be tried again. */
  resting(rest: { sink: string; source: number | 'trail'; error: unknown }): void
  /** Each once: batches that were dropped from the archive before the sink took them. */
  missed(gap: { sink: string; batches: number }): void
}

export type DeliveryOptions = {
  engine: Engine
  clock: Clock
  keys: Keys
  auditKeys: AuditKeys
  registryKeys: RegistryKeys
  /** As the ids of events begin with. */
  cluster: string
  name: string
  /** Of the sink, in the store. */
  id: string
  sink: Sink
  /** Shards that this server decides for now. */
  owned(): readonly number[]
  telemetry: DeliveryTelemetry
}

/** Records of one sending. */
export const SENDING_RECORDS_MAX = 500
/** What they tell of what was written, as JSON, but for the record with which it is reached: administration may be many large policies. */
export const SENDING_CHANGED_BYTES_MAX = 1024 * 1024
/** How often it is looked for more: so late a sink has what happened, at the least. */
const LOOK_MS = 500
export const RETRY_MS_MAX = 30_000

type Source = number | 'trail'
type Place = { seq: number; n: number }
type Cursor = Place & { revision: number }
type Next = { records: Placed[]; end: Place; missed: number }

/** The sink has not taken what it was sent; the cause says why. */
class NotTaken extends Error {
  override readonly name = 'NotTaken'
  constructor(cause: unknown) {
    super('the sink has not taken it', { cause })
  }
}

function changedBytesOf({ record: { changed } }: Placed): number {
  return changed === undefined ? 0 : Buffer.byteLength(JSON.stringify(changed))
}

function retryMsAfter(failures: number): number {
  return Math.min(RETRY_MS_MAX, LOOK_MS * 2 ** failures)
}

export class Delivery {
  readonly name: string
  readonly #options: DeliveryOptions
  readonly #cursors = new Map<Source, Cursor>()
  #cancel: Cancel = () => undefined
  #isOver = false
  #failures = 0
  /** Since when the sink takes nothing, and what it was sent last. */
  #away: { sinceMs: number; source: Source } | null = null
  readonly #resting = new Map<Source, { failures: number; untilMs: number }>()

  constructor(options: DeliveryOptions) {
    this.#options = options
    this.name = options.name
  }

  start(): void {
    this.#lookIn(0)
  }

  stop(): void {
    this.#isOver = true
    this.#cancel()
    this.#options.sink.close()
  }

  /** For how long the sink has not taken what it was sent, as long as that is this server's to send. */
  get awayMs(): number {
    return this.#away === null ? 0 : this.#options.clock.hrtimeMs() - this.#away.sinceMs
  }

  #lookIn(ms: number): void {
    if (!this.#isOver) this.#cancel = this.#options.clock.after(ms, () => void this.#look())
  }

  /** Never rejects. */
  async #look(): Promise<void> {
    const { clock, owned } = this.#options
    const sources: Source[] = [...owned()]
    if (sources.includes(0)) sources.push('trail')
    for (const kept of [this.#cursors, this.#resting])
      for (const source of kept.keys()) if (!sources.includes(source)) kept.delete(source)
    let isMore = false
    for (const source of sources) {
      const rest = this.#resting.get(source)
      if (rest && rest.untilMs > clock.hrtimeMs()) continue
      try {
        isMore = (await this.#deliver(source)) || isMore
        this.#resting.delete(source)
      } catch (error) {
        if (this.#isOver) return
        // Somebody else may have moved it.
        this.#cursors.delete(source)
        if (error instanceof NotTaken) return this.#isAway(source, error.cause)
        this.#rest(source, error)
      }
      if (this.#isOver) return
    }
    // Nothing is waiting for the sink: what it did not take has been sent by another server, which may own that shard by now. In strict mode nothing new
    // would ever be there to be taken. If that cannot be read now, nobody knows.
    if (!this.#away || !this.#resting.has(this.#away.source)) this.#isWell()
    this.#lookIn(isMore ? 0 : LOOK_MS)
  }

  #isWell(): void {
    this.#away = null
    this.#failures = 0
    this.#options.telemetry.well({ sink: this.name })
  }

  #isAway(source: Source, error: unknown): void {
    this.#away = { sinceMs: this.#away?.sinceMs ?? this.#options.clock.hrtimeMs(), source }
    this.#options.telemetry.failed({ sink: this.name, error, awayMs: this.awayMs })
    this.#lookIn(retryMsAfter(this.#failures++))
  }

  #rest(source: Source, error: unknown): void {
    const failures = this.#resting.get(source)?.failures ?? 0
    const untilMs = this.#options.clock.hrtimeMs() + retryMsAfter(failures)
    this.#resting.set(source, { failures: failures + 1, untilMs })
    this.#options.telemetry.resting({ sink: this.name, source, error })
  }

  /** Returns whether there is more. @throws {NotTaken} */
  async #deliver(source: Source): Promise<boolean> {
    const { sink, telemetry } = this.#options
    const cursor = this.#cursors.get(source) ?? (await this.#begin(source))
    this.#cursors.set(source, cursor)
    const { records, end, missed } = await this.#next(source, cursor)
    if (end.seq === cursor.seq && end.n === cursor.n) return false
    if (records.length > 0) {
      await sink.send(records.map(({ record }) => record)).catch((error: unknown) => {
        throw new NotTaken(error)
      })
      this.#isWell()
      telemetry.sent({ sink: this.name, records: records.length })
    }
    await this.#move(source, cursor, end)
    // Until then it is read, and found missing, again.
    if (missed > 0) telemetry.missed({ sink: this.name, batches: missed })
    return records.length > 0
  }

  /** What comes next, as much as is sent at once; `end` is where that ends, and `missed` are the batches before it that are gone. */
  async #next(source: Source, from: Cursor): Promise<Next> {
    const records: Placed[] = []
    let end: Place = { seq: from.seq, n: from.n }
    let [missed, changedBytes] = [0, 0]
    const goTo = (place: Place) => {
      missed += Math.max(0, place.seq - end.seq - 1)
      end = place
    }
    for await (const { seq, placed } of source === 'trail' ? this.#links(from.seq) : this.#batches(source, from)) {
      for (const one of placed) {
        if (one.seq === from.seq && one.n <= from.n) continue
        if (records.length === SENDING_RECORDS_MAX || changedBytes >= SENDING_CHANGED_BYTES_MAX)
          return { records, end, missed }
        records.push(one)
        changedBytes += changedBytesOf(one)
        goTo({ seq: one.seq, n: one.n })
      }
      goTo({ seq, n: Math.max(end.seq === seq ? end.n : 0, placed.length) })
    }
    return { records, end, missed }
  }

  async *#batches(shard: number, from: Cursor): AsyncGenerator<{ seq: number; placed: Placed[] }> {
    const { cluster } = this.#options
    for await (const group of new LogReader({ ...this.#options, shard }).forward(from.seq)) {
      for (const { seq, bytes } of group) {
        const batch = parseBatch(batchText(bytes))
        yield { seq, placed: recordsOfBatch(batch, { cluster, link: hashBatch(bytes) }) }
      }
    }
  }

  async *#links(from: number): AsyncGenerator<{ seq: number; placed: Placed[] }> {
    const { engine, registryKeys } = this.#options
    const after = registryKeys.link(Math.max(0, from - 1))
    const { pairs } = await engine.list({ prefix: registryKeys.trail, limit: SENDING_RECORDS_MAX, after })
    for (const { key, value } of pairs) {
      const seq = Number(key.slice(registryKeys.trail.length))
      yield { seq, placed: recordsOfLink(decodeLink(value), hashLink(value)) }
    }
  }

  /** Where the sink was left; one that is new begins with what happens from now on. */
  async #begin(source: Source): Promise<Cursor> {
    const { engine, auditKeys, id, registryKeys } = this.#options
    const pair = await engine.read(auditKeys.cursor(id, source))
    if (pair) {
      const { seq, n } = decodeRecord(pair.value)
      return { seq: Number(seq), n: Number(n), revision: pair.modRevision }
    }
    const seq =
      source === 'trail'
        ? await newestLinkOf(engine, registryKeys)
        : await new LogReader({ ...this.#options, shard: source }).newest()
    const cursor: Cursor = { seq: Math.max(0, seq), n: Number.MAX_SAFE_INTEGER, revision: 0 }
    await this.#move(source, cursor, cursor)
    return this.#cursors.get(source) ?? cursor
  }

  /** Only if nobody else has: a former owner of the shard may still be at it. */
  async #move(source: Source, from: Cursor, to: Place): Promise<void> {
    const { engine, auditKeys, id } = this.#options
    const key = auditKeys.cursor(id, source)
    const value = encodeRecord({ seq: to.seq, n: to.n })
    const moved = await engine.commit({ checks: [{ key, modRevision: from.revision }], writes: [{ key, value }] })
    if (!moved.ok) throw new Error(`the cursor of ${this.name} has been moved by another server`)
    this.#cursors.set(source, { ...to, revision: moved.revision })
  }
}
