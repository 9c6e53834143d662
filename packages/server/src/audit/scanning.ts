/**
 * Goes through a source of the trail in one direction, a bounded amount at a time, and gives what a filter accepts. A log has no index: what is asked
 * for is looked for in the text of each batch, between times that bound where to look. So a look takes as long as there is to look through;
 * each call does a part of it, says how far it has come, and lets the turns of the shards come in between.
 */
import type { Clock } from '../clock.ts'
import type { EngineReads } from '../engine/engine.ts'
import { decodeLink, hashLink, type RegistryKeys } from '../registry/store.ts'
import { batchText, hashBatch, parseBatch } from '../shards/batch.ts'
import { type AuditFilter, accepts, CLOCK_SLACK_MS, mayHold } from './filter.ts'
import { headerOf } from './header.ts'
import type { LogReader, Stored } from './reading.ts'
import { type Placed, recordsOfBatch, recordsOfLink } from './record.ts'

/** Exclusive: what lies beyond it in the direction of the scan is still to come. */
export type Place = { seq: number; n: number }
export type Direction = 'oldest' | 'newest'
/** Either a record, or (`record` null) how far the scan has come when what it may read was used up. */
export type Found = Placed | (Place & { record: null })

/** Before the first and behind the last record of a batch. */
export const FIRST = 0
export const LAST = Number.MAX_SAFE_INTEGER
/** Text that is looked through between two turns of the event loop: a few ms. */
const SLICE_BYTES = 1024 * 1024

/** Shared by the sources of one page. */
export class Budget {
  #left: number
  #slice = SLICE_BYTES
  readonly #clock: Clock

  constructor(bytes: number, clock: Clock) {
    this.#left = bytes
    this.#clock = clock
  }

  get isUsedUp(): boolean {
    return this.#left <= 0
  }

  async spend(bytes: number): Promise<void> {
    this.#left -= bytes
    this.#slice -= bytes
    if (this.#slice > 0) return
    this.#slice = SLICE_BYTES
    await new Promise<void>(resolve => this.#clock.afterPoll(resolve))
  }
}

export type Scan = { filter: AuditFilter; direction: Direction; from: Place; budget: Budget }

/** Records of a shard's log. */
export async function* scanLog(reader: LogReader, cluster: string, scan: Scan): AsyncGenerator<Found> {
  const { filter, direction, from, budget } = scan
  const isForward = direction === 'oldest'
  const groups = isForward
    ? reader.forward(await beginOf(reader, from, filter))
    : reader.backward(await endOf(reader, from, filter))
  for await (const group of groups) {
    for (const { seq, bytes } of group) {
      const text = batchText(bytes)
      await budget.spend(text.length)
      const atMs = headerOf(text)?.at ?? 0
      if (isBeyond(filter, direction, atMs)) return
      if (mayHold(filter, text))
        yield* fitting(scan, recordsOfBatch(parseBatch(text), { cluster, link: hashBatch(bytes) }))
      if (budget.isUsedUp) yield { seq, n: isForward ? LAST : FIRST, record: null }
      if (budget.isUsedUp) return
    }
  }
}

/** Deeds of the administrative trail. */
export async function* scanTrail(
  engine: EngineReads,
  keys: RegistryKeys,
  newest: number,
  scan: Scan,
): AsyncGenerator<Found> {
  const { filter, direction, from, budget } = scan
  const isForward = direction === 'oldest'
  for (let next = isForward ? from.seq : Math.min(from.seq, newest); ; ) {
    const links = isForward ? await linksFrom(engine, keys, next) : await linksUpTo(engine, keys, next)
    if (links.length === 0) return
    for (const { seq, bytes } of links) {
      await budget.spend(bytes.byteLength)
      const trail = decodeLink(bytes)
      if (isBeyond(filter, direction, trail.at)) return
      yield* fitting(scan, recordsOfLink(trail, hashLink(bytes)))
      if (budget.isUsedUp) yield { seq, n: isForward ? LAST : FIRST, record: null }
      if (budget.isUsedUp) return
      next = isForward ? seq + 1 : seq - 1
    }
  }
}

const PAGE_LINKS = 200

async function linksFrom(engine: EngineReads, keys: RegistryKeys, from: number): Promise<Stored[]> {
  const after = keys.link(Math.max(0, from - 1))
  const { pairs } = await engine.list({ prefix: keys.trail, limit: PAGE_LINKS, after })
  return pairs.map(({ key, value }) => ({ seq: Number(key.slice(keys.trail.length)), bytes: value }))
}

/** Links are dense, so the page before one is found by counting. Newest first. */
export async function linksUpTo(engine: EngineReads, keys: RegistryKeys, upTo: number): Promise<Stored[]> {
  if (upTo < 1) return []
  const links = await linksFrom(engine, keys, Math.max(1, upTo - PAGE_LINKS + 1))
  return links.filter(({ seq }) => seq <= upTo).reverse()
}

function* fitting({ filter, direction, from }: Scan, placed: readonly Placed[]): Generator<Placed> {
  for (const one of direction === 'oldest' ? placed : [...placed].reverse()) {
    const isBehind = one.seq > from.seq || (one.seq === from.seq && one.n > from.n)
    const isBefore = one.seq < from.seq || (one.seq === from.seq && one.n < from.n)
    if (direction === 'oldest' ? !isBehind : !isBefore) continue
    if (accepts(filter, one.record, one.atMs)) yield one
  }
}

/** Nothing that is asked for comes after what was written then. */
function isBeyond({ sinceMs, untilMs }: AuditFilter, direction: Direction, atMs: number): boolean {
  if (direction === 'oldest') return untilMs !== undefined && atMs > untilMs + CLOCK_SLACK_MS
  return sinceMs !== undefined && atMs < sinceMs - CLOCK_SLACK_MS
}

/** Segments that were written before `since` hold nothing of it. */
async function beginOf(reader: LogReader, from: Place, { sinceMs }: AuditFilter): Promise<number> {
  if (sinceMs === undefined) return from.seq
  const { segments } = await reader.index()
  const late = segments.find(({ at }) => at >= sinceMs - CLOCK_SLACK_MS)
  const begin = late ? late.first : (segments.at(-1)?.last ?? -1) + 1
  return Math.max(from.seq, begin)
}

/** Segments that begin after `until` hold nothing of it. */
async function endOf(reader: LogReader, from: Place, { untilMs }: AuditFilter): Promise<number> {
  const before = from.n === FIRST ? from.seq : from.seq + 1
  if (untilMs === undefined) return before
  const { segments } = await reader.index()
  let [low, high] = [0, segments.length]
  while (low < high) {
    const middle = (low + high) >> 1
    const first = (await reader.segment(segments[middle]!))?.[0]
    const atMs = first ? (headerOf(batchText(first.bytes))?.at ?? 0) : 0
    if (atMs > untilMs + CLOCK_SLACK_MS) high = middle
    else low = middle + 1
  }
  const beyond = segments[low]
  return beyond ? Math.min(before, beyond.first) : before
}
