/**
 * Whether the end of a session fits one batch: it ends with all that it holds and waits for, or not at all, and one that fits none would never end. What
 * it writes is estimated from above when locks are asked for.
 */
import { SESSION_ENDING_BYTES_MAX } from '@holdfast/protocol/limits'
import type { SessionState } from './state.ts'

/** Of a lock's end: what stands in two entries around its name, and around who held it. */
const AROUND_BYTES = 380
/** Two entries, three bytes for a UTF-16 unit of the name at the most (one that is escaped is a single byte of UTF-8); of a permit its slot, once. */
const BYTES_PER_UNIT = 6
/** Holder, subject and address, as long as they can be. */
const WHO_BYTES_MAX = 2_400

export function endingUnits({ lock, permits }: { lock: string; permits: number }): number {
  return permits > 1 ? lock.length + permits : lock.length
}

export function canEndAtOnce({ record }: SessionState, { locks, units }: { locks: number; units: number }): boolean {
  const roomBytes = SESSION_ENDING_BYTES_MAX - units * BYTES_PER_UNIT
  // As nearly always.
  if (locks * (AROUND_BYTES + WHO_BYTES_MAX) <= roomBytes) return true
  const who = [record?.labels?.holder ?? record?.id ?? '', record?.by ?? '', record?.from ?? '']
  return locks * (AROUND_BYTES + Buffer.byteLength(JSON.stringify(who))) <= roomBytes
}
