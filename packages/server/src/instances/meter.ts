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
import { type Calendar, type Cancel, type Clock, every } from '../clock.ts'
import { commitKnown, sameBytes } from '../engine/commit.ts'
import { type Check, COMMIT_BYTES_MAX, type Engine, type Write } from '../engine/engine.ts'
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
/** Of counts in one commit, beyond those of one group: half of what a store takes. */
export const PART_BYTES_MAX = COMMIT_BYTES_MAX / 2
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

type Sums = Map<string, Counts>
type Range = { from: number; to: number }
/** The cursor as it was read. */
type Place = { seq: number; revision: number; ahead: Cursor['ahead'] | null }
type Group = { check: Check; value: Buffer; old: Write | null }

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
    this.#cancelTimer = every(this.#options.clock, FLUSH_MS, () => this.flush())
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
      if (page?.from === cursor.seq + 1 && page.to === (cursor.ahead?.to ?? page.to)) {
        // Meanwhile the next ones are counted on a page of their own.
        this.#pages.get(shard)?.shift()
        if (!(await this.#write(shard, page, cursor))) this.#pages.get(shard)?.unshift(page)
      } else if (cursor.ahead) await this.#finish(shard, cursor, cursor.ahead.to)
      else if (!(await this.#readOn(shard, cursor, page?.from ?? Number.POSITIVE_INFINITY))) return
    }
  }

  /** Counts the rest of a page that somebody else has counted in part: the very same one, from the log. */
  async #finish(shard: number, cursor: Place, to: number): Promise<void> {
    const from = cursor.seq + 1
    const pages: Page[] = []
    for await (const batch of this.#batches(shard, { from, end: to + 1 })) countBatch(pages, batch)
    const [whole] = pages
    const isWhole = pages.length === 1 && whole?.from === from && whole.to === to
    if (!isWhole) this.#lost(shard, { from, to })
    await this.#write(shard, isWhole ? whole : nothingOf({ from, to }), cursor)
  }

  /** The first page that is not counted yet, without what somebody else has counted. */
  #nextPage(shard: number, seq: number): Page | null {
    const pages = this.#pages.get(shard)
    // Of a page that was counted in part it is not known which part: it is read from the log.
    while (pages?.[0] && pages[0].from <= seq) pages.shift()
    return pages?.[0] ?? null
  }

  /** Counts what nobody heard, up to `end`. Returns whether there is more to do. */
  async #readOn(shard: number, before: Place, end: number): Promise<boolean> {
    const pages: Page[] = []
    let count = 0
    for await (const batch of this.#batches(shard, { from: before.seq + 1, end })) {
      // A gap was lost with its archive, which says so; counting goes on behind it.
      countBatch(pages, batch)
      if (++count >= READ_BATCHES) break
    }
    let cursor = before
    for (const page of pages) {
      if (!(await this.#write(shard, page, cursor))) return true
      cursor = await this.#cursor(shard)
    }
    if (pages.length > 0) return true
    if (end === Number.POSITIVE_INFINITY) return false
    // Nothing is kept of what lies between: it cannot be counted any more.
    const range = { from: cursor.seq + 1, to: end - 1 }
    this.#lost(shard, range)
    await this.#write(shard, nothingOf(range), cursor)
    return true
  }

  async *#batches(shard: number, { from, end }: { from: number; end: number }) {
    for await (const batches of this.#options.read(shard, from))
      for (const { seq, bytes } of batches) {
        if (seq >= end) return
        const { at, entries } = decodeBatch(bytes)
        yield { seq, at, written: entries.map(([instance, ...own]) => ({ instance, entries: own })) }
      }
  }

  #lost(shard: number, { from, to }: Range): void {
    this.#options.alarm(`batches ${from} to ${to} of shard ${shard} are gone and were not counted`, null)
  }

  async #cursor(shard: number): Promise<Place> {
    const { engine, root } = this.#options
    const pair = await engine.read(countKeysUnder(root, shard).cursor)
    if (!pair) return { seq: -1, revision: 0, ahead: null }
    const { seq, ahead = null } = decodeCursor(pair.value)
    return { seq, revision: pair.modRevision, ahead }
  }

  /** Adds the page to what is stored and moves the cursor behind it: both or neither, part by part. False: somebody else was quicker. */
  async #write(shard: number, page: Page, cursor: Place): Promise<boolean> {
    const { server } = this.#options
    const groups = byGroup(page.counts)
    const counted = cursor.ahead?.groups ?? 0
    let part: Group[] = []
    let bytes = 0
    let { revision } = cursor
    for (const [group, counts] of groups) {
      if (group < counted) continue
      const next = await this.#group(shard, page, { group, counts })
      if (part.length > 0 && bytes + next.value.length > PART_BYTES_MAX) {
        const ahead = { to: page.to, groups: group }
        const known = await this.#commit(shard, { revision, cursor: { seq: cursor.seq, server, ahead }, part })
        if (known === null) return false
        revision = known
        part = []
        bytes = 0
      }
      part.push(next)
      bytes += next.value.length
    }
    return (await this.#commit(shard, { revision, cursor: { seq: page.to, server }, part })) !== null
  }

  /** What is stored of the group for that hour, and what it becomes. */
  async #group(shard: number, { hourMs }: Page, { group, counts }: { group: number; counts: Sums }): Promise<Group> {
    const { engine, root, calendar } = this.#options
    const keys = countKeysUnder(root, shard)
    const key = keys.hour(group, hourMs)
    const pair = await engine.read(key)
    const value = encodeCounts(merged(pair ? decodeCounts(pair.value) : new Map(), counts))
    // With the first of an hour the oldest go. The hour itself is what the clock of some server said.
    const oldestMs = Math.min(hourMs, calendar.now() ?? 0) - COUNTS_KEPT_MS
    const old: Write = { from: keys.hour(group, 0), to: keys.hour(group, oldestMs), delete: true }
    return { check: { key, modRevision: pair?.modRevision ?? 0 }, value, old: !pair && oldestMs > 0 ? old : null }
  }

  /** The revision of the cursor now; null: somebody else was quicker. */
  async #commit(
    shard: number,
    { revision, cursor, part }: { revision: number; cursor: Cursor; part: readonly Group[] },
  ): Promise<number | null> {
    const { engine, clock, root, alarm } = this.#options
    const { cursor: key } = countKeysUnder(root, shard)
    const bytes = encodeCursor(cursor)
    const checks: Check[] = [{ key, modRevision: revision }, ...part.map(({ check }) => check)]
    const puts = part.map(({ check, value }) => ({ key: check.key, value }))
    const writes: Write[] = [{ key, value: bytes }, ...puts, ...part.flatMap(({ old }) => old ?? [])]
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
    return known.ok ? known.revision : null
  }
}

function nothingOf({ from, to }: Range): Page {
  return { from, to, hourMs: 0, counts: new Map() }
}

/** In the order of the groups, whoever counts. */
function byGroup(counts: Sums): [number, Sums][] {
  const groups = new Map<number, Sums>()
  for (const [instance, own] of counts) {
    if (Object.keys(own).length === 0) continue
    const group = groupOf(instance)
    groups.set(group, (groups.get(group) ?? new Map()).set(instance, own))
  }
  return [...groups].sort(([one], [other]) => one - other)
}

function merged(sums: Sums, more: Sums): Sums {
  for (const [instance, counts] of more) sums.set(instance, addCounts(sums.get(instance) ?? {}, counts))
  return sums
}
