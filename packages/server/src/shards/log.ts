/**
 * The newest end of a shard's log, and the only way to add to it.
 *
 * A server that is no longer the owner must not append, whatever it believes; and an append that was sent once must not be applied a
 * second time, however late it arrives. So each append checks, in the commit that writes it: the owner record at the revision
 * of our takeover, the batch before at the revision at which we wrote it, and that its own place is empty. The second of these fences late
 * duplicates even after the cleaner has emptied their place, for what they name as predecessor is never written again (SAFETY P1).
 */
import type { Clock } from '../clock.ts'
import { commitKnown, sameBytes } from '../engine/commit.ts'
import type { Engine, KeyValue } from '../engine/engine.ts'
import { hashBatch, textBytesOf } from './batch.ts'
import type { Keys } from './keys.ts'
import type { Ownership } from './ownership.ts'
import { readKnown } from './reading.ts'
import type { ShardTelemetry } from './telemetry.ts'

/** The last batch, as the next one must name it. */
export type LogEnd = { seq: number; revision: number; hash: string }

/** Somebody else appended or took over: what this server has decided since its last batch did not happen. */
export class OwnershipLost extends Error {
  override readonly name = 'OwnershipLost'
  readonly found: (KeyValue | null)[]
  constructor(shard: number, found: (KeyValue | null)[]) {
    super(`shard ${shard} is no longer owned by this start of this server`)
    this.found = found
  }
}

export type LogOptions = {
  engine: Engine
  clock: Clock
  keys: Keys
  shard: number
  telemetry: ShardTelemetry
  end: LogEnd
  /** Oldest batch that is kept. */
  firstSeq: number
  /** Of each batch that is kept, oldest first. */
  sizes: number[]
}

/** Sizes of batches that are gone are dropped from the list once there are this many. */
export const SIZES_GONE_MAX = 65_536

export class ShardLog {
  #end: LogEnd
  #firstSeq: number
  #bytes: number
  readonly #sizes: number[]
  /** How many of the sizes are of batches that are gone. */
  #sizesGone = 0
  readonly #options: LogOptions

  constructor(options: LogOptions) {
    this.#options = options
    this.#end = options.end
    this.#firstSeq = options.firstSeq
    this.#sizes = options.sizes
    this.#bytes = options.sizes.reduce((sum, size) => sum + size, 0)
  }

  get end(): LogEnd {
    return this.#end
  }
  get firstSeq(): number {
    return this.#firstSeq
  }
  /** Of all batches that are kept. */
  get bytes(): number {
    return this.#bytes
  }

  /** For tests: of how many batches a size is kept. */
  get sizes(): number {
    return this.#sizes.length
  }

  /** Of one batch that is kept. */
  bytesOf(seq: number): number {
    return this.#sizes[this.#sizesGone + seq - this.#firstSeq] ?? 0
  }

  /**
   * Appends the batch `end.seq + 1`; resolves when it is durable. With `cleaned`, the batches below `cleaned.before` go in the same commit.
   * Throws `OwnershipLost` or `EngineRefusal` when it surely was not written, `EngineFatal` when nothing can be known any more.
   */
  async append(bytes: Buffer, ownership: Ownership, cleaned: { before: number } | null = null): Promise<void> {
    const { engine, clock, keys, shard, telemetry } = this.#options
    const seq = this.#end.seq + 1
    // One that cannot be read back exactly must not be acknowledged.
    if (!Number.isSafeInteger(seq)) throw new Error(`shard ${shard} has no batch numbers left`)
    const key = keys.batch(shard, seq)
    // The newest batch stays, for the next append has to name it.
    if (cleaned && cleaned.before > this.#end.seq) throw new Error('the newest batch is never cleaned')
    const range = cleaned !== null &&
      cleaned.before > this.#firstSeq && {
        from: keys.batch(shard, this.#firstSeq),
        to: keys.batch(shard, cleaned.before),
        delete: true as const,
      }
    const written = commitKnown({
      engine,
      clock,
      checks: [
        { key: keys.owner(shard), modRevision: ownership.revision },
        { key: keys.batch(shard, this.#end.seq), modRevision: this.#end.revision },
        { key, modRevision: 0 },
      ],
      writes: [...(range ? [range] : []), { key, value: bytes }],
      // The id inside makes these bytes ours and nobody else's.
      passedAt: sameBytes(2, bytes),
      onUnknown: (error, attempt) =>
        telemetry.commitUnknown({ what: `batch ${seq} of shard ${shard}`, attempt, error }),
    })
    // While the disk is busy.
    const hash = hashBatch(bytes)
    const known = await written
    if (!known.ok) throw new OwnershipLost(shard, known.found)
    this.#end = { seq, revision: known.revision, hash }
    const size = textBytesOf(bytes)
    this.#sizes.push(size)
    this.#bytes += size
    if (cleaned) this.#forget(cleaned.before)
  }

  /**
   * Writes the newest batch and the owner record once more, as they are, so that the store seals them under its present key (`engine/sealed`). Only
   * between two appends. Their revisions are new, so whatever was sent before and comes late still finds what it names gone. Returns the
   * revision of the owner record.
   */
  async rewriteEnd(ownership: Ownership, owner: Buffer): Promise<number> {
    const { engine, clock, keys, shard, telemetry } = this.#options
    const { seq, revision, hash } = this.#end
    const key = keys.batch(shard, seq)
    const place = keys.owner(shard)
    const pair = await readKnown(clock, () => engine.read(key, { atLeast: revision }))
    if (pair?.modRevision !== revision) throw new OwnershipLost(shard, [pair])
    const known = await commitKnown({
      engine,
      clock,
      checks: [
        { key: place, modRevision: ownership.revision },
        { key, modRevision: revision },
      ],
      writes: [
        { key: place, value: owner },
        { key, value: pair.value },
      ],
      // At another revision with our name in it, only we can have written it.
      passedAt: found => (found[0]?.modRevision === ownership.revision ? null : sameBytes(0, owner)(found)),
      onUnknown: (error, attempt) =>
        telemetry.commitUnknown({ what: `batch ${seq} of shard ${shard}, sealed anew`, attempt, error }),
    })
    if (!known.ok) throw new OwnershipLost(shard, known.found)
    this.#end = { seq, revision: known.revision, hash }
    return known.revision
  }

  #forget(before: number): void {
    for (; this.#firstSeq < before; this.#firstSeq++) this.#bytes -= this.#sizes[this.#sizesGone++] ?? 0
    if (this.#sizesGone < SIZES_GONE_MAX) return
    this.#sizes.splice(0, this.#sizesGone)
    this.#sizesGone = 0
  }
}
