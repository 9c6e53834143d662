/**
 * What there is of a shard's archive. Written anew with every segment, in the same commit; so a segment is never there without its line, and
 * where the chain begins is known when what was before has been dropped.
 */
import { decodeRecord, encodeRecord } from '../engine/commit.ts'

export type SegmentLine = {
  /** Sequence numbers of its first and its last batch. */
  first: number
  last: number
  bytes: number
  /** Wall time at which it was written: no batch in it is newer. */
  at: number
}

export type ArchiveIndex = {
  /** What the oldest batch that is kept says of the one before: the chain can be checked from there. */
  anchor: string
  /** Oldest first. */
  segments: SegmentLine[]
  /** Batches that were deleted before they could be archived; only where the audit is best effort. */
  lost: number
}

export const emptyIndex: ArchiveIndex = { anchor: '', segments: [], lost: 0 }

/** Lines of an index: it is rewritten with each segment, and must stay small beside one. */
export const SEGMENTS_MAX = 4_096

export function encodeIndex({ anchor, segments, lost }: ArchiveIndex): Buffer {
  return encodeRecord({
    anchor,
    lost,
    segments: segments.map(({ first, last, bytes, at }) => [first, last, bytes, at]),
  })
}

export function decodeIndex(stored: Uint8Array): ArchiveIndex {
  const { anchor, segments, lost } = decodeRecord(stored)
  const isIndex = typeof anchor === 'string' && typeof lost === 'number' && Array.isArray(segments)
  if (!isIndex) throw new Error('this is no index of an archive')
  // Written by `encodeIndex`; whoever has changed it by hand is found out by the chain.
  const lines = segments as [number, number, number, number][]
  return { anchor, lost, segments: lines.map(([first, last, bytes, at]) => ({ first, last, bytes, at })) }
}

export function bytesOf(segments: readonly SegmentLine[]): number {
  return segments.reduce((sum, { bytes }) => sum + bytes, 0)
}
