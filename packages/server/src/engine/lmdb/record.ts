/**
 * Commits as they lie in a journal: all that were written at once, under one checksum, in whole blocks. A block is what a disk and the kernel write at
 * once, and a record shares none with another: nothing that has been acknowledged is ever written again. What was written at once is there as a
 * whole or not at all, for it was acknowledged as a whole or not at all.
 *
 * The checksum begins with the salt of the store, which is random: what a client puts into a value where a record could begin is none.
 */
import { crc32 } from 'node:zlib'
import type { Write } from '../engine.ts'

export const BLOCK_BYTES = 4_096

/** A write whose bytes are nobody else's. */
export type OwnWrite = Exclude<Write, { value: Uint8Array }> | { key: string; value: Buffer }
export type Commits = readonly (readonly OwnWrite[])[]

export type JournalRecord = {
  /** Of the first of the commits; the others follow it. */
  revision: number
  /** Random, of eight bytes, and another each time that a file is begun: tells what belongs to it from what an earlier use has left behind. */
  use: bigint
  commits: Commits
}

/** "HFJ1". */
const MAGIC = 0x314a4648
const at = { magic: 0, checksum: 4, length: 8, count: 12, revision: 16, use: 24, body: 32 } as const
const PUT = 1
const DELETE = 2
const DELETE_RANGE = 3
/** Before the writes of a commit: how many there are. */
const COMMIT_HEAD_BYTES = 4
/** Of a write: its kind, and the lengths of its key and of what follows. */
const WRITE_HEAD_BYTES = 1 + 2 + 4
/** UTF-8 needs at most this many bytes for one UTF-16 unit. */
const BYTES_PER_UNIT_MAX = 3

/** Room that a record of these needs, at the most. */
export function recordBytesMax(commits: Commits): number {
  let bytes = at.body
  for (const writes of commits) {
    bytes += COMMIT_HEAD_BYTES
    for (const write of writes) {
      bytes += WRITE_HEAD_BYTES
      if ('from' in write) bytes += (write.from.length + write.to.length) * BYTES_PER_UNIT_MAX
      else bytes += write.key.length * BYTES_PER_UNIT_MAX + ('value' in write ? write.value.byteLength : 0)
    }
  }
  return wholeBlocks(bytes)
}

/** Writes the record to the beginning of `target`; returns its length. */
export function encodeRecord(target: Buffer, { revision, use, commits }: JournalRecord, salt: number): number {
  let place: number = at.body
  for (const writes of commits) {
    target.writeUInt32LE(writes.length, place)
    place += COMMIT_HEAD_BYTES
    for (const write of writes) place = encodeWrite(target, place, write)
  }
  const length = wholeBlocks(place)
  target.fill(0, place, length)
  target.writeUInt32LE(MAGIC, at.magic)
  target.writeUInt32LE(place, at.length)
  target.writeUInt32LE(commits.length, at.count)
  target.writeDoubleLE(revision, at.revision)
  target.writeBigUInt64LE(use, at.use)
  target.writeUInt32LE(crc32(target.subarray(at.length, place), salt), at.checksum)
  return length
}

/** The record that `source` begins with, and how long it is; null: there is none that is whole. */
export function decodeRecord(source: Buffer, salt: number): { record: JournalRecord; length: number } | null {
  if (source.length < at.body || source.readUInt32LE(at.magic) !== MAGIC) return null
  const end = source.readUInt32LE(at.length)
  if (end < at.body || end > source.length) return null
  if (source.readUInt32LE(at.checksum) !== crc32(source.subarray(at.length, end), salt)) return null
  const commits: OwnWrite[][] = []
  let place: number = at.body
  for (let count = source.readUInt32LE(at.count); count > 0; count--) {
    const writes: OwnWrite[] = []
    let left = source.readUInt32LE(place)
    for (place += COMMIT_HEAD_BYTES; left > 0; left--) {
      const decoded = decodeWrite(source, place)
      writes.push(decoded.write)
      place = decoded.end
    }
    commits.push(writes)
  }
  const [revision, use] = [source.readDoubleLE(at.revision), source.readBigUInt64LE(at.use)]
  return { record: { revision, use, commits }, length: wholeBlocks(end) }
}

function decodeWrite(source: Buffer, place: number): { write: OwnWrite; end: number } {
  const kind = source[place]
  const keyEnd = place + WRITE_HEAD_BYTES + source.readUInt16LE(place + 1)
  const end = keyEnd + source.readUInt32LE(place + 3)
  const key = source.toString('utf8', place + WRITE_HEAD_BYTES, keyEnd)
  if (kind === PUT) return { write: { key, value: Buffer.from(source.subarray(keyEnd, end)) }, end }
  if (kind === DELETE) return { write: { key, delete: true }, end }
  if (kind === DELETE_RANGE)
    return { write: { from: key, to: source.toString('utf8', keyEnd, end), delete: true }, end }
  // It is whole, by its checksum.
  throw new Error(`a journal has a write of kind ${kind}: it is of a newer version of Holdfast`)
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
