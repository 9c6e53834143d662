/**
 * A batch as it lies in the log: compact JSON, entries grouped by instance in the order in which they were made. Entries that the cleaner
 * re-appended stand apart, in `carried`, and come first: they set records, but nothing of it happened now.
 *
 * All but small ones are deflated (decision 0015): entries of one batch are so alike that a tenth is left, and what is not written need not be synced,
 * replicated, or read again. Every size in this room is that of the text: what has to be parsed.
 */
import { hash } from 'node:crypto'
import { deflateRawSync, inflateRawSync } from 'node:zlib'
import { decodeEntry, type Encoded, NewerFormat } from '../locks/encoding.ts'
import type { Entry } from '../locks/model.ts'

/**
 * Of the records and batches that this code writes. A server refuses what a newer one has written. Whatever an older one would misread is of another:
 * in a cluster that is being upgraded it reads batches of newer ones.
 */
export const FORMAT = 1

export type EntryGroup = [instance: string, ...entries: Entry[]]

export type Batch = {
  /** Random: by it an append of unknown outcome is told from somebody else's. */
  id: string
  seq: number
  epoch: number
  /** Of the bytes of the batch before; empty in the first. */
  prev: string
  /** The shard's clock, ms. */
  now: number
  /** Wall time, ms since 1970: a label. */
  at: number
  /** What was alive at the last complete cleaning, in bytes: tells the next owner when to clean again. */
  live: number
  carried: EntryGroup[]
  entries: EntryGroup[]
}

type EncodedGroup = [instance: string, ...entries: Encoded[]]
/** Without a format it is of the first. */
type EncodedBatch = BatchHeader & { format?: number; carried: EncodedGroup[]; entries: EncodedGroup[] }

export type BatchHeader = Omit<Batch, 'carried' | 'entries'>

/** Bytes that a header takes at most, its punctuation included; the id, the hash and five numbers. */
export const HEADER_BYTES_MAX = 512

/** Around a group, and around all of them. */
const BRACKETS = 3
/** UTF-8 needs at most this many bytes for one UTF-16 unit. */
export const BYTES_PER_UNIT_MAX = 3

/** Groups of entries in the making, as text: each entry is serialised once, when it is made. */
export class GroupText {
  #text = ''
  #instance: string | null = null
  /** Never less than what it takes: counting exactly costs more than the entries do, so it is done when it matters. */
  #bytesAtMost = 0

  /** Exactly. */
  get bytes(): number {
    if (this.#instance === null) return 0
    this.#bytesAtMost = Buffer.byteLength(this.#text) + BRACKETS
    return this.#bytesAtMost
  }

  /** Whether it would take more than `max` bytes with `units` more UTF-16 units. */
  exceeds(max: number, units = 0): boolean {
    const more = units * BYTES_PER_UNIT_MAX
    return this.#bytesAtMost + more > max && this.bytes + more > max
  }

  add(instance: string, entry: string): void {
    let added = `,${entry}`
    if (instance !== this.#instance) {
      added = `${this.#instance === null ? '[' : '],['}${JSON.stringify(instance)},${entry}`
      this.#instance = instance
    }
    this.#text += added
    this.#bytesAtMost += added.length * BYTES_PER_UNIT_MAX
  }

  toString(): string {
    return this.#instance === null ? '[]' : `[${this.#text}]]`
  }
}

export function encodeBatch(header: BatchHeader, groups: { carried: GroupText; entries: GroupText }): Buffer {
  const { id, seq, epoch, prev, now, at, live } = header
  const head = JSON.stringify({ id, seq, epoch, prev, now, at, live }).slice(0, -1)
  return packed(Buffer.from(`${head},"carried":${groups.carried},"entries":${groups.entries}}`))
}

/** The batch of a lonely command gains nothing, and would wait for it. */
const PACKED_BYTES_MIN = 2 * 1024
/** First byte of a deflated batch; the length of its text follows, in four. JSON begins with a brace. */
const PACKED = 1
const PACKED_HEAD_BYTES = 5

function packed(text: Buffer): Buffer {
  if (text.length < PACKED_BYTES_MIN) return text
  const head = Buffer.alloc(PACKED_HEAD_BYTES)
  head[0] = PACKED
  head.writeUInt32BE(text.length, 1)
  return Buffer.concat([head, deflateRawSync(text, { level: 1 })])
}

/** The batch as it was before it was packed: JSON. */
export function batchText(stored: Uint8Array): string {
  const bytes = Buffer.from(stored.buffer, stored.byteOffset, stored.byteLength)
  if (bytes[0] !== PACKED) return bytes.toString()
  const maxOutputLength = textBytesOf(bytes)
  return inflateRawSync(bytes.subarray(PACKED_HEAD_BYTES), { maxOutputLength }).toString()
}

/** How long the text of the batch is. */
export function textBytesOf(bytes: Uint8Array): number {
  if (bytes[0] !== PACKED) return bytes.byteLength
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength).readUInt32BE(1)
}

/** Throws when the bytes are no batch. What is inside the entries is trusted: it was written by this code under the owner's fence. */
export function decodeBatch(bytes: Uint8Array): Batch {
  return parseBatch(batchText(bytes))
}

/** The same, of its text. */
export function parseBatch(text: string): Batch {
  // Looked at field by field right below.
  const batch = JSON.parse(text) as EncodedBatch
  if ((batch.format ?? 1) > FORMAT)
    throw new NewerFormat(`a batch of format ${batch.format} (this one knows ${FORMAT})`)
  const isBatch =
    typeof batch.id === 'string' &&
    Number.isSafeInteger(batch.seq) &&
    Number.isSafeInteger(batch.epoch) &&
    typeof batch.prev === 'string' &&
    typeof batch.now === 'number' &&
    typeof batch.at === 'number' &&
    typeof batch.live === 'number' &&
    Array.isArray(batch.carried) &&
    Array.isArray(batch.entries)
  if (!isBatch) throw new Error('this is no batch of a log')
  return { ...batch, carried: batch.carried.map(decodeGroup), entries: batch.entries.map(decodeGroup) }
}

function decodeGroup([instance, ...entries]: EncodedGroup): EntryGroup {
  return [instance, ...entries.map(decodeEntry)]
}

/** What the next batch says of this one. */
export function hashBatch(bytes: Uint8Array): string {
  return hash('sha256', bytes, 'hex')
}
