/**
 * A commit as it lies in a journal: its revision and its writes, in whole blocks, under a checksum. A block is what a disk and the kernel write at
 * once, and a record shares none with another: nothing that has been acknowledged is ever written again.
 */
import { crc32 } from 'node:zlib'
import type { Write } from '../engine.ts'

export const BLOCK_BYTES = 4_096

/** A write whose bytes are nobody else's. */
export type OwnWrite = Exclude<Write, { value: Uint8Array }> | { key: string; value: Buffer }

export type JournalRecord = {
  revision: number
  /** The revision of the first record of its journal: tells those of this use of the file from what an earlier one has left behind them. */
  first: number
  writes: readonly OwnWrite[]
}

/** "HFJ1". */
const MAGIC = 0x314a4648
const at = { magic: 0, checksum: 4, length: 8, revision: 12, first: 20, body: 28 } as const
const PUT = 1
const DELETE = 2
const DELETE_RANGE = 3
/** Of a write: its kind, and the lengths of its key and of what follows. */
const WRITE_HEAD_BYTES = 1 + 2 + 4
/** UTF-8 needs at most this many bytes for one UTF-16 unit. */
const BYTES_PER_UNIT_MAX = 3

/** Room that the record needs, at the most. */
export function recordBytesMax(writes: readonly OwnWrite[]): number {
  let bytes = at.body
  for (const write of writes) {
    bytes += WRITE_HEAD_BYTES
    if ('from' in write) bytes += (write.from.length + write.to.length) * BYTES_PER_UNIT_MAX
    else bytes += write.key.length * BYTES_PER_UNIT_MAX + ('value' in write ? write.value.byteLength : 0)
  }
  return wholeBlocks(bytes)
}

/** Writes the record to `target` from `offset`, which is a whole number of blocks; returns where the next one goes. */
export function encodeRecord(target: Buffer, offset: number, { revision, first, writes }: JournalRecord): number {
  let place = offset + at.body
  for (const write of writes) place = encodeWrite(target, place, write)
  const end = offset + wholeBlocks(place - offset)
  target.fill(0, place, end)
  target.writeUInt32LE(MAGIC, offset + at.magic)
  target.writeUInt32LE(place - offset, offset + at.length)
  target.writeDoubleLE(revision, offset + at.revision)
  target.writeDoubleLE(first, offset + at.first)
  target.writeUInt32LE(crc32(target.subarray(offset + at.length, place)), offset + at.checksum)
  return end
}

/** The record that begins at `offset`, and where the next one would; null: there is none that is whole. */
export function decodeRecord(source: Buffer, offset: number): { record: JournalRecord; end: number } | null {
  if (offset + at.body > source.length || source.readUInt32LE(offset + at.magic) !== MAGIC) return null
  const length = source.readUInt32LE(offset + at.length)
  const stop = offset + length
  if (length < at.body || stop > source.length) return null
  if (source.readUInt32LE(offset + at.checksum) !== crc32(source.subarray(offset + at.length, stop))) return null
  const writes: OwnWrite[] = []
  for (let place = offset + at.body; place < stop; ) {
    const kind = source[place]
    const keyEnd = place + WRITE_HEAD_BYTES + source.readUInt16LE(place + 1)
    const end = keyEnd + source.readUInt32LE(place + 3)
    const key = source.toString('utf8', place + WRITE_HEAD_BYTES, keyEnd)
    if (kind === PUT) writes.push({ key, value: Buffer.from(source.subarray(keyEnd, end)) })
    else if (kind === DELETE) writes.push({ key, delete: true })
    else if (kind === DELETE_RANGE) writes.push({ from: key, to: source.toString('utf8', keyEnd, end), delete: true })
    // It is whole, by its checksum.
    else throw new Error(`a journal has a write of kind ${kind}: it is of a newer version of Holdfast`)
    place = end
  }
  const [revision, first] = [source.readDoubleLE(offset + at.revision), source.readDoubleLE(offset + at.first)]
  return { record: { revision, first, writes }, end: offset + wholeBlocks(length) }
}

function encodeWrite(target: Buffer, place: number, write: OwnWrite): number {
  const isRange = 'from' in write
  const keyEnd = place + WRITE_HEAD_BYTES + target.write(isRange ? write.from : write.key, place + WRITE_HEAD_BYTES)
  let end = keyEnd
  if (isRange) end += target.write(write.to, keyEnd)
  else if ('value' in write) {
    target.set(write.value, keyEnd)
    end += write.value.byteLength
  }
  target[place] = isRange ? DELETE_RANGE : 'value' in write ? PUT : DELETE
  target.writeUInt16LE(keyEnd - place - WRITE_HEAD_BYTES, place + 1)
  target.writeUInt32LE(end - keyEnd, place + 3)
  return end
}

function wholeBlocks(bytes: number): number {
  return Math.ceil(bytes / BLOCK_BYTES) * BLOCK_BYTES
}
