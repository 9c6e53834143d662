/**
 * Reads a shard's batches, archived and live, as one sequence, forwards or backwards. Any server can: it is read from the store, and decides nothing.
 *
 * What is archived lies in the log too for a while, and the cleaner deletes from the log while this reads. So whoever comes to a place that is not in
 * the log looks in the archive again: what the cleaner deletes was archived before. A place that is in neither is older than what is
 * kept, or was lost; the sequence goes on behind it, and whoever verifies says so.
 */
import type { EngineReads, KeyValue } from '../engine/engine.ts'
import type { Keys } from '../shards/keys.ts'
import { type ArchiveIndex, decodeIndex, emptyIndex, type SegmentLine } from './archive-index.ts'
import type { AuditKeys } from './keys.ts'
import { decodeSegment } from './segment.ts'

export type Stored = { seq: number; bytes: Uint8Array }

export type ReadingOptions = { engine: EngineReads; keys: Keys; auditKeys: AuditKeys; shard: number }

/** Batches of the live log that are read at once. */
const PAGE_BATCHES = 64

export class LogReader {
  readonly #options: ReadingOptions

  constructor(options: ReadingOptions) {
    this.#options = options
  }

  async index(): Promise<ArchiveIndex> {
    const { engine, auditKeys, shard } = this.#options
    const pair = await engine.read(auditKeys.index(shard))
    return pair ? decodeIndex(pair.value) : emptyIndex
  }

  /** Batches from `from` on, oldest first, in groups as they are read; ends where the log does now. */
  async *forward(from: number): AsyncGenerator<Stored[]> {
    for (let next = from; ; ) {
      const line = lineAt((await this.index()).segments, next)
      if (line) {
        const batches = (await this.segment(line))?.filter(({ seq }) => seq >= next) ?? []
        if (batches.length > 0) yield batches
        next = line.last + 1
        continue
      }
      const live = await this.#live(next)
      // The cleaner has been quicker: it is in the archive by now.
      if (live[0] && live[0].seq > next && lineAt((await this.index()).segments, next)) continue
      if (live.length === 0) return
      yield live
      next = live.at(-1)!.seq + 1
    }
  }

  /** Batches below `before`, newest first, in groups. */
  async *backward(before: number): AsyncGenerator<Stored[]> {
    let end = Math.min(before, (await this.newest()) + 1)
    let index = await this.index()
    while (end > behind(index)) {
      const start = Math.max(behind(index), end - PAGE_BATCHES)
      const live = (await this.#live(start)).filter(({ seq }) => seq < end)
      if (live.length < end - start) {
        const known = behind(index)
        index = await this.index()
        if (behind(index) > known) continue
      }
      if (live.length > 0) yield live.reverse()
      end = start
    }
    for (const line of [...index.segments].reverse()) {
      if (line.first >= end) continue
      const batches = (await this.segment(line))?.filter(({ seq }) => seq < end) ?? []
      if (batches.length > 0) yield batches.reverse()
    }
  }

  /** The last batch there is; -1: none. In steps that double, and then between the last two. */
  async newest(): Promise<number> {
    let low = behind(await this.index()) - 1
    let step = 1
    for (let found = await this.#at(low + step); found !== null; found = await this.#at(low + step)) {
      low = found
      step *= 2
    }
    for (let high = low + step; high - low > 1; ) {
      const found = await this.#at(low + ((high - low) >> 1))
      if (found === null) high = low + ((high - low) >> 1)
      else low = found
    }
    return low
  }

  /** null: it has been dropped meanwhile, or somebody has spoilt it. */
  async segment({ first }: SegmentLine): Promise<Stored[] | null> {
    const { engine, auditKeys, shard } = this.#options
    const pair = await engine.read(auditKeys.segment(shard, first))
    const batches = pair && decodeSegment(pair.value)
    return batches ? batches.map((bytes, index) => ({ seq: first + index, bytes })) : null
  }

  /** The first batch of the log at `from` or behind it. */
  async #at(from: number): Promise<number | null> {
    return (await this.#live(from, 1))[0]?.seq ?? null
  }

  async #live(from: number, limit = PAGE_BATCHES): Promise<Stored[]> {
    const { engine, keys, shard } = this.#options
    const after = from > 0 ? { after: keys.batch(shard, from - 1) } : {}
    const { pairs } = await engine.list({ prefix: keys.log(shard), limit, ...after })
    return pairs.map(storedOf)
  }
}

/** The first batch that has not been archived. */
function behind({ segments }: ArchiveIndex): number {
  return (segments.at(-1)?.last ?? -1) + 1
}

export function storedOf({ key, value }: KeyValue): Stored {
  return { seq: Number(key.slice(key.lastIndexOf('/') + 1)), bytes: value }
}

/** The segment that `seq` is in; or, before the oldest or in a gap, the next one. */
export function lineAt(segments: readonly SegmentLine[], seq: number): SegmentLine | null {
  let [low, high] = [0, segments.length]
  while (low < high) {
    const middle = (low + high) >> 1
    if (segments[middle]!.last < seq) low = middle + 1
    else high = middle
  }
  return segments[low] ?? null
}
