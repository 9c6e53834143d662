/**
 * A segment of the archive: consecutive batches of one shard's log, byte for byte as they lay there, so that what the next one says of the one
 * before can still be checked. One byte of version, then each batch behind its length.
 */

/** What a segment aims at: few keys, and one is read in a few ms. A single batch may be larger. */
export const SEGMENT_BYTES_MAX = 512 * 1024

const VERSION = 1
const LENGTH_BYTES = 4

export function encodeSegment(batches: readonly Uint8Array[]): Buffer {
  const segment = Buffer.allocUnsafe(batches.reduce((bytes, batch) => bytes + segmentBytesOf(batch), 1))
  segment[0] = VERSION
  let place = 1
  for (const batch of batches) {
    place = segment.writeUInt32BE(batch.byteLength, place)
    segment.set(batch, place)
    place += batch.byteLength
  }
  return segment
}

/** Bytes that the batch takes in a segment. */
export function segmentBytesOf(batch: Uint8Array): number {
  return LENGTH_BYTES + batch.byteLength
}

/** The batches, oldest first; null: this is no segment, or somebody has cut it. */
export function decodeSegment(stored: Uint8Array): Buffer[] | null {
  const bytes = Buffer.from(stored.buffer, stored.byteOffset, stored.byteLength)
  if (bytes[0] !== VERSION) return null
  const batches: Buffer[] = []
  for (let place = 1; place < bytes.length; ) {
    if (place + LENGTH_BYTES > bytes.length) return null
    const length = bytes.readUInt32BE(place)
    place += LENGTH_BYTES
    if (length === 0 || place + length > bytes.length) return null
    batches.push(bytes.subarray(place, place + length))
    place += length
  }
  return batches
}
