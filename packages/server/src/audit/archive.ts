/**
 * The archive of a shard's log: the trail of what happened to locks, for as long as it is to be kept.
 *
 * The cleaner deletes old batches, and with them what they tell. So before it does, they are copied, unread, many at a time, into a segment under
 * another key. That is done beside the turns: the batches are read back from the store when enough has gathered, and written by a commit of its own that
 * checks the owner record and the index of the archive. So it costs a turn nothing but an addition, and a server that no longer owns the
 * shard cannot archive, whatever it believes.
 *
 * Batches overlap for a while: what is archived lies in the log too, until the cleaner comes. What lies between the two is never missing, as the
 * cleaner waits for `safeBefore`. Only when archiving has failed for `PATIENCE_MS` and the audit is best effort does it not wait: what is lost by
 * that is counted in the index, and whoever verifies the chain is told.
 *
 * What is kept is bounded by age and by bytes; the oldest segments go in the commit that writes a new one, and the index says from where on the
 * chain can be checked.
 */
import { type Calendar, type Cancel, type Clock, every } from '../clock.ts'
import { commitKnown, sameBytes } from '../engine/commit.ts'
import type { Check, Engine, KeyValue, Write } from '../engine/engine.ts'
import type { ArchivedShard, ShardArchive } from '../shards/archive.ts'
import { batchText } from '../shards/batch.ts'
import type { Keys } from '../shards/keys.ts'
import {
  type ArchiveIndex,
  bytesOf,
  decodeIndex,
  emptyIndex,
  encodeIndex,
  SEGMENTS_MAX,
  type SegmentLine,
} from './archive-index.ts'
import { headerOf } from './header.ts'
import type { AuditKeys } from './keys.ts'
import { decodeSegment, encodeSegment, SEGMENT_BYTES_MAX, segmentBytesOf } from './segment.ts'

export type Retention = {
  /** Older segments are dropped. */
  ageMs: number
  /** Of one shard's segments together. */
  bytesMax: number
}

export type ArchiveTelemetry = {
  archived(segment: { shard: number; batches: number; bytes: number }): void
  /** The archive of this shard holds so much now. */
  holds(archive: { shard: number; bytes: number; segments: number }): void
  failed(failure: { shard: number; error: unknown }): void
  /** Batches that are in no archive and no log any more. */
  lost(gap: { shard: number; batches: number }): void
}

export type ArchiveOptions = {
  engine: Engine
  clock: Clock
  calendar: Calendar
  keys: Keys
  auditKeys: AuditKeys
  retention: Retention
  /** The cleaner never deletes what is not archived. Else it does when archiving fails for `PATIENCE_MS`. */
  isStrict: boolean
  telemetry: ArchiveTelemetry
}

/** How long the cleaner waits for an archive that fails, where the audit is best effort. */
export const PATIENCE_MS = 60_000
const RETRY_MS = 2_000
/** How often it is looked whether something has become too old, when nothing is being archived. */
const LOOK_MS = 600_000
/** Batches that are read at once. Turns come in between: a segment of small batches has a thousand, and whoever acquires meanwhile would wait for all of them. */
export const PAGE_BATCHES = 32

/** Begins where the archive of the shard ends. */
export function openArchive(options: ArchiveOptions, shard: ArchivedShard): ShardArchive {
  return new Archive(options, shard)
}

type Gathered = { pairs: KeyValue[]; bytes: number; isFull: boolean }

class Archive implements ShardArchive {
  readonly #options: ArchiveOptions
  readonly #shard: ArchivedShard
  #index: ArchiveIndex | null = null
  #indexRevision = 0
  #wantedBefore = 0
  /** What is below has been archived. */
  #safeBefore = 0
  /** The oldest batch that was seen waiting to be archived; null: none yet. What lies before the first segment may be older than the archive. */
  #firstSeen: number | null = null
  /** Appended and not archived, as far as it is known. */
  #pendingBytes = 0
  /** `#pendingBytes` is all that there is. */
  #isCaughtUp = false
  #isBusy = false
  #isOver = false
  #failingSinceMs: number | null = null
  #cancelRetry: Cancel = () => undefined
  readonly #cancelLook: Cancel

  constructor(options: ArchiveOptions, shard: ArchivedShard) {
    this.#options = options
    this.#shard = shard
    this.#cancelLook = every(options.clock, LOOK_MS, () => this.#wake())
  }

  get safeBefore(): number {
    const { clock, isStrict } = this.#options
    const failingMs = this.#failingSinceMs === null ? 0 : clock.hrtimeMs() - this.#failingSinceMs
    if (!isStrict && failingMs >= PATIENCE_MS) return Number.POSITIVE_INFINITY
    return this.#safeBefore
  }

  want(before: number): void {
    this.#wantedBefore = before
    this.#wake()
  }

  appended(bytes: number): void {
    this.#pendingBytes += bytes
    if (this.#pendingBytes >= SEGMENT_BYTES_MAX) this.#wake()
  }

  stop(): void {
    this.#isOver = true
    this.#cancelRetry()
    this.#cancelLook()
  }

  #wake(): void {
    if (this.#isOver || this.#isBusy) return
    this.#isBusy = true
    this.#cancelRetry()
    this.#options.clock.afterPoll(() => void this.#run())
  }

  /** Never rejects. */
  async #run(): Promise<void> {
    try {
      do await this.#step()
      while (this.#isDue && !this.#isOver)
      this.#failingSinceMs = null
    } catch (error) {
      this.#failed(error)
    }
    this.#isBusy = false
  }

  /** Looked at when a step is done, so nothing that is asked for meanwhile is forgotten. */
  get #isDue(): boolean {
    return this.#isWanted || !this.#isCaughtUp || this.#pendingBytes >= SEGMENT_BYTES_MAX
  }

  get #isWanted(): boolean {
    return this.#safeBefore < this.#wantedBefore
  }

  /** Writes the next segment; or finds that none is due, and drops what is too old. */
  async #step(): Promise<void> {
    this.#index ??= await this.#readIndex()
    const asked = this.#wantedBefore
    const gathered = await this.#gather(this.#index)
    if (this.#isOver) return
    if (gathered.pairs.length > 0 && (gathered.isFull || this.#isWanted)) {
      await this.#write(this.#index, gathered)
      this.#pendingBytes = Math.max(0, this.#pendingBytes - gathered.bytes)
      this.#shard.progressed()
      return this.#others()
    }
    this.#isCaughtUp = true
    this.#pendingBytes = gathered.bytes
    // Of what had been asked for nothing is there.
    if (this.#wantedBefore === asked) this.#wantedBefore = 0
    await this.#forget(this.#index)
    return this.#others()
  }

  /** Turns come first. */
  #others(): Promise<void> {
    return new Promise(resolve => this.#options.clock.afterPoll(resolve))
  }

  #failed(error: unknown): void {
    // Closing the shard closes the store too.
    if (this.#isOver) return
    const { clock, telemetry } = this.#options
    this.#failingSinceMs ??= clock.hrtimeMs()
    this.#index = null
    this.#pendingBytes = 0
    this.#isCaughtUp = false
    telemetry.failed({ shard: this.#shard.shard, error })
    this.#cancelRetry = clock.after(RETRY_MS, () => {
      this.#wake()
      // The cleaner may have been waiting for this one in vain for long enough.
      this.#shard.progressed()
    })
  }

  async #readIndex(): Promise<ArchiveIndex> {
    const { engine, auditKeys, telemetry } = this.#options
    const { shard } = this.#shard
    const pair = await engine.read(auditKeys.index(shard))
    this.#indexRevision = pair?.modRevision ?? 0
    const index = pair ? decodeIndex(pair.value) : emptyIndex
    this.#safeBefore = Math.max(this.#safeBefore, (index.segments.at(-1)?.last ?? -1) + 1)
    telemetry.holds({ shard, bytes: bytesOf(index.segments), segments: index.segments.length })
    return index
  }

  /** The batches that come next, as many as a segment takes. */
  async #gather(index: ArchiveIndex): Promise<Gathered> {
    const { engine, keys } = this.#options
    const { shard } = this.#shard
    const gathered: Gathered = { pairs: [], bytes: 0, isFull: false }
    const last = index.segments.at(-1)?.last
    let after = last === undefined ? undefined : keys.batch(shard, last)
    for (;;) {
      const page = await engine.list({
        prefix: keys.log(shard),
        limit: PAGE_BATCHES,
        ...(after === undefined ? {} : { after }),
      })
      for (const pair of page.pairs) {
        const bytes = segmentBytesOf(pair.value)
        const before = gathered.pairs.at(-1)
        // The cleaner has not waited: what it took between two pages is counted by the segment that begins behind it.
        const isGap = before !== undefined && seqOf(pair.key) !== seqOf(before.key) + 1
        if (isGap || (before && gathered.bytes + bytes > SEGMENT_BYTES_MAX)) {
          gathered.isFull = true
          return gathered
        }
        this.#firstSeen ??= seqOf(pair.key)
        gathered.pairs.push(pair)
        gathered.bytes += bytes
      }
      if (!page.more || this.#isOver) {
        // One batch may be larger than a segment: nothing that comes after it could make it fuller.
        gathered.isFull = gathered.bytes >= SEGMENT_BYTES_MAX
        return gathered
      }
      after = page.pairs.at(-1)?.key
      await this.#others()
    }
  }

  async #write(before: ArchiveIndex, { pairs }: Gathered): Promise<void> {
    const { clock, auditKeys, telemetry } = this.#options
    const { shard } = this.#shard
    const bytes = encodeSegment(pairs.map(({ value }) => value))
    const [first, last] = [seqOf(pairs[0]!.key), seqOf(pairs.at(-1)!.key)]
    const line = { first, last, bytes: bytes.length, at: clock.wallMs() }
    const isFirst = before.segments.length === 0
    const expected = isFirst ? (this.#firstSeen ?? first) : this.#safeBefore
    const lost = Math.max(0, first - expected)
    const grown = {
      anchor: isFirst ? (headerOf(batchText(pairs[0]!.value))?.prev ?? '') : before.anchor,
      segments: [...before.segments, line],
      lost: before.lost + lost,
    }
    const { index, writes } = await this.#dropped(grown, pairs[0]!.value)
    const key = auditKeys.segment(shard, first)
    await this.#commit(index, { checks: [{ key, modRevision: 0 }], writes: [...writes, { key, value: bytes }] })
    this.#safeBefore = last + 1
    telemetry.archived({ shard, batches: pairs.length, bytes: bytes.length })
    if (lost > 0) telemetry.lost({ shard, batches: lost })
  }

  /** Drops what has become too old. */
  async #forget(before: ArchiveIndex): Promise<void> {
    const { index, writes } = await this.#dropped(before, null)
    if (writes.length > 0 && !this.#isOver) await this.#commit(index, { checks: [], writes })
  }

  /** Only as the owner, and only if the archive is as it was left. */
  async #commit(index: ArchiveIndex, { checks, writes }: { checks: Check[]; writes: Write[] }): Promise<void> {
    const { engine, clock, keys, auditKeys, telemetry } = this.#options
    const { shard } = this.#shard
    const key = auditKeys.index(shard)
    const encoded = encodeIndex(index)
    const known = await commitKnown({
      engine,
      clock,
      checks: [
        { key: keys.owner(shard), modRevision: this.#shard.ownerRevision() },
        { key, modRevision: this.#indexRevision },
        ...checks,
      ],
      writes: [...writes, { key, value: encoded }],
      passedAt: sameBytes(1, encoded),
      onUnknown: error => telemetry.failed({ shard, error }),
    })
    // Somebody else's shard by now, or somebody has touched the archive: looked at anew.
    if (!known.ok) throw new Error(`the archive of shard ${shard} is no longer as it was left`)
    this.#index = index
    this.#indexRevision = known.revision
    telemetry.holds({ shard, bytes: bytesOf(index.segments), segments: index.segments.length })
  }

  /** Without the segments that are too old or too much; the newest stays. */
  async #dropped(index: ArchiveIndex, newest: Uint8Array | null): Promise<{ index: ArchiveIndex; writes: Write[] }> {
    const { engine, calendar, auditKeys, retention } = this.#options
    const { shard } = this.#shard
    const { segments } = index
    const now = calendar.now()
    let bytes = bytesOf(segments)
    let gone = 0
    for (; gone < segments.length - 1; gone++) {
      const { bytes: own } = segments[gone]!
      const isOld = now !== null && now - writtenAt(segments, gone, now) > retention.ageMs
      if (!isOld && bytes <= retention.bytesMax && segments.length - gone <= SEGMENTS_MAX) break
      bytes -= own
    }
    if (gone === 0) return { index, writes: [] }
    const kept = segments.slice(gone)
    const oldest = kept[0]!
    // The newest is being written: what it begins with is at hand.
    const pair = kept.length === 1 && newest ? null : await engine.read(auditKeys.segment(shard, oldest.first))
    const first = pair ? decodeSegment(pair.value)?.[0] : newest
    // Somebody has taken or spoilt it. What follows is still to be found by whoever verifies the chain, so nothing is dropped.
    if (!first) return { index, writes: [] }
    const from = auditKeys.segment(shard, segments[0]!.first)
    const to = auditKeys.segment(shard, oldest.first)
    const anchor = headerOf(batchText(first))?.prev ?? ''
    return { index: { ...index, segments: kept, anchor }, writes: from < to ? [{ from, to, delete: true }] : [] }
  }
}

/** When it was, at the latest. A label of the future is of a clock that was wrong: the segment is older than those after it. */
function writtenAt(segments: readonly SegmentLine[], place: number, now: number): number {
  for (let index = place; index < segments.length; index++) if (segments[index]!.at <= now) return segments[index]!.at
  return now
}

function seqOf(key: string): number {
  return Number(key.slice(key.lastIndexOf('/') + 1))
}
