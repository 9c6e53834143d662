/**
 * Counts what happens in each instance, by the hour, exactly once.
 *
 * All that is counted is in the log, so counting is a fold over it. The position up to which a shard's log has been counted is written in the very
 * commit that adds to the counts, on condition that both are as they were read. So a commit of unknown outcome that is made again, a server that
 * died halfway, and two servers that both believe it is theirs to count: each batch is counted by exactly one commit.
 *
 * The owner hears each batch as it becomes durable and adds up in memory; every `FLUSH_MS` the sums are written. What nobody heard (the owner died
 * before it had written, or counting began later than the log) is read from the log again, or from its archive.
 */
import type { Calendar, Cancel, Clock } from '../clock.ts'
import { commitKnown, sameBytes } from '../engine/commit.ts'
import type { Check, Engine, Write } from '../engine/engine.ts'
import { decodeBatch } from '../shards/batch.ts'
import type { Logged } from '../shards/port.ts'
import {
  addCounts,
  type Counts,
  type Cursor,
  countBatch,
  countKeysUnder,
  decodeCounts,
  decodeCursor,
  encodeCounts,
  encodeCursor,
  groupOf,
  type Page,
} from './counts.ts'
import { HOUR_MS } from './unit-hours.ts'

/** How often sums are written: what a crash leaves to be read again. */
const FLUSH_MS = 10_000
const CLOSE_MS_MAX = 2_000
/** Batches that are folded from the log before they are written. */
const READ_BATCHES = 1_024
/** Thirteen months: a year can be compared with the one before. */
export const COUNTS_KEPT_MS = 400 * 24 * HOUR_MS

export type MeterOptions = {
  engine: Engine
  clock: Clock
  calendar: Calendar
  root: string
  /** This start of this server. */
  server: string
  /** The shards that this server decides for now, each with its ownership. */
  owned(): readonly { shard: number; epoch: number }[]
  /** A shard's batches from `from` on, oldest first, as far as they are kept. */
  read(shard: number, from: number): AsyncIterable<readonly { seq: number; bytes: Uint8Array }[]>
  /** Something that must not be: a person should look. */
  alarm(what: string, error: unknown): void
}

export class Meter {
  readonly #options: MeterOptions
  readonly #pages = new Map<number, Page[]>()
  /** Under which ownership the log was counted to its end, by shard. */
  readonly #caughtUp = new Map<number, number>()
  #cancelTimer: Cancel = () => undefined
  #flushing: Promise<void> | null = null
  #isOver = false

  constructor(options: MeterOptions) {
    this.#options = options
  }

  /** A batch has become durable. */
  readonly logged = (batch: Logged): void => {
    let pages = this.#pages.get(batch.shard)
    if (!pages) {
      pages = []
      this.#pages.set(batch.shard, pages)
    }
    countBatch(pages, batch)
  }

  start(): void {
    this.#cancelTimer = this.#options.clock.after(FLUSH_MS, () => {
      void this.flush().then(() => {
        if (!this.#isOver) this.start()
      })
    })
  }

  /** Writes what has been counted. Never rejects: what could not be written is counted the next time. */
  flush(): Promise<void> {
    this.#flushing ??= this.#flushAll().finally(() => {
      this.#flushing = null
    })
    return this.#flushing
  }

  /** Writes once more; what does not succeed is for the next owner. */
  async close(): Promise<void> {
    this.#cancelTimer()
    let cancel: Cancel = () => undefined
    // A store that is away is not waited for: what was not written is read from the log again.
    const tooLong = new Promise<void>(resolve => {
      cancel = this.#options.clock.after(CLOSE_MS_MAX, resolve)
    })
    await Promise.race([this.#flushLast(), tooLong])
    cancel()
    this.#isOver = true
    this.#cancelTimer()
  }

  async #flushLast(): Promise<void> {
    await this.#flushing
    await this.flush()
  }

  async #flushAll(): Promise<void> {
    const owned = new Map(this.#options.owned().map(({ shard, epoch }) => [shard, epoch]))
    for (const shard of new Set([...owned.keys(), ...this.#pages.keys()])) {
      const epoch = owned.get(shard)
      const isDue = this.#pages.get(shard)?.length || (epoch !== undefined && this.#caughtUp.get(shard) !== epoch)
      if (!isDue) continue
      try {
        await this.#flushShard(shard)
        if (epoch !== undefined) this.#caughtUp.set(shard, epoch)
      } catch (error) {
        if (this.#isOver) return
        this.#options.alarm(`what happened in shard ${shard} could not be counted now`, error)
      }
    }
  }

  async #flushShard(shard: number): Promise<void> {
    for (;;) {
      const cursor = await this.#cursor(shard)
      const page = this.#nextPage(shard, cursor.seq)
      if (page?.from === cursor.seq + 1) {
        // Meanwhile the next ones are counted on a page of their own.
        this.#pages.get(shard)?.shift()
        if (!(await this.#write(shard, page, cursor))) this.#pages.get(shard)?.unshift(page)
      } else if (!(await this.#readOn(shard, cursor, page?.from ?? Number.POSITIVE_INFINITY))) return
    }
  }

  /** The first page that is not counted yet, without what somebody else has counted. */
  #nextPage(shard: number, seq: number): Page | null {
    const pages = this.#pages.get(shard)
    // Of a page that was counted in part it is not known which part: it is read from the log.
    while (pages?.[0] && pages[0].from <= seq) pages.shift()
    return pages?.[0] ?? null
  }

  /** Counts what nobody heard, up to `end`. Returns whether there is more to do. */
  async #readOn(shard: number, before: { seq: number; revision: number }, end: number): Promise<boolean> {
    const pages: Page[] = []
    let count = 0
    reading: for await (const batches of this.#options.read(shard, before.seq + 1)) {
      for (const { seq, bytes } of batches) {
        if (seq >= end) break reading
        const { at, entries } = decodeBatch(bytes)
        const written = entries.map(([instance, ...own]) => ({ instance, entries: own }))
        // A gap was lost with its archive, which says so; counting goes on behind it.
        countBatch(pages, { seq, at, written })
        if (++count >= READ_BATCHES) break reading
      }
    }
    let cursor = before
    for (const page of pages) {
      if (!(await this.#write(shard, page, cursor))) return true
      cursor = await this.#cursor(shard)
    }
    if (pages.length > 0) return true
    if (end === Number.POSITIVE_INFINITY) return false
    // Nothing is kept of what lies between: it cannot be counted any more.
    const lost = { from: cursor.seq + 1, to: end - 1, hourMs: 0, counts: new Map<string, Counts>() }
    this.#options.alarm(`batches ${lost.from} to ${lost.to} of shard ${shard} are gone and were not counted`, null)
    await this.#write(shard, lost, cursor)
    return true
  }

  async #cursor(shard: number): Promise<{ seq: number; revision: number }> {
    const { engine, root } = this.#options
    const pair = await engine.read(countKeysUnder(root, shard).cursor)
    return pair ? { seq: decodeCursor(pair.value).seq, revision: pair.modRevision } : { seq: -1, revision: 0 }
  }

  /** Adds the page to what is stored and moves the cursor behind it: both or neither. False: somebody else was quicker. */
  async #write(shard: number, page: Page, cursor: { revision: number }): Promise<boolean> {
    const { engine, clock, calendar, root, server, alarm } = this.#options
    const keys = countKeysUnder(root, shard)
    const next: Cursor = { seq: page.to, server }
    const bytes = encodeCursor(next)
    const checks: Check[] = [{ key: keys.cursor, modRevision: cursor.revision }]
    const writes: Write[] = [{ key: keys.cursor, value: bytes }]
    for (const [group, counts] of byGroup(page.counts)) {
      const key = keys.hour(group, page.hourMs)
      const pair = await engine.read(key)
      checks.push({ key, modRevision: pair?.modRevision ?? 0 })
      writes.push({ key, value: encodeCounts(merged(pair ? decodeCounts(pair.value) : new Map(), counts)) })
      // With the first of an hour the oldest go. The hour itself is what the clock of some server said.
      const oldestMs = Math.min(page.hourMs, calendar.now() ?? 0) - COUNTS_KEPT_MS
      if (!pair && oldestMs > 0)
        writes.push({ from: keys.hour(group, 0), to: keys.hour(group, oldestMs), delete: true })
    }
    const known = await commitKnown({
      engine,
      clock,
      checks,
      writes,
      passedAt: sameBytes(0, bytes),
      onUnknown: error => {
        if (this.#isOver) throw error
        alarm(`it is not known yet whether the counts of shard ${shard} were written`, error)
      },
    })
    return known.ok
  }
}

function byGroup(counts: Map<string, Counts>): Map<number, Map<string, Counts>> {
  const groups = new Map<number, Map<string, Counts>>()
  for (const [instance, own] of counts) {
    if (Object.keys(own).length === 0) continue
    const group = groupOf(instance)
    groups.set(group, (groups.get(group) ?? new Map()).set(instance, own))
  }
  return groups
}

function merged(sums: Map<string, Counts>, more: Map<string, Counts>): Map<string, Counts> {
  for (const [instance, counts] of more) sums.set(instance, addCounts(sums.get(instance) ?? {}, counts))
  return sums
}
