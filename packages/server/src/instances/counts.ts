/** How often what happened, by instance and hour: a fold over the log, as it is stored. */
import { hash } from 'node:crypto'
import { decodeRecord, encodeRecord } from '../engine/commit.ts'
import type { Entry, Happening } from '../locks/model.ts'
import { HOUR_MS } from './unit-hours.ts'

/** What is counted; what is missing has not happened. */
export const counted = [
  'granted',
  'released',
  'session_closed',
  'expired',
  'preempted',
  'forced',
  'transferred',
  'max_hold',
  'queued',
  'session_opened',
  'value_changed',
] as const satisfies readonly Happening[]
export type Counts = { [Name in (typeof counted)[number]]?: number }
const isCounted: ReadonlySet<string> = new Set(counted)

/** Batches of one hour, `from` and `to` included, in the order of the log with none left out. */
export type Page = { from: number; to: number; hourMs: number; counts: Map<string, Counts> }

export function hourOf(atMs: number): number {
  return Math.floor(atMs / HOUR_MS) * HOUR_MS
}

/** Adds the batch to the last of the pages, or begins one. */
export function countBatch(
  pages: Page[],
  {
    seq,
    at,
    written,
  }: { seq: number; at: number; written: readonly { instance: string; entries: readonly Entry[] }[] },
): void {
  let page = pages.at(-1)
  const hourMs = hourOf(at)
  if (!page || page.to !== seq - 1 || page.hourMs !== hourMs) {
    page = { from: seq, to: seq, hourMs, counts: new Map() }
    pages.push(page)
  }
  page.to = seq
  for (const { instance, entries } of written) {
    let counts = page.counts.get(instance)
    if (!counts) {
      counts = {}
      page.counts.set(instance, counts)
    }
    for (const { type } of entries) {
      if (!isCounted.has(type)) continue
      const name = type as keyof Counts // it is one of them
      counts[name] = (counts[name] ?? 0) + 1
    }
  }
}

export function addCounts(sum: Counts, more: Counts): Counts {
  for (const name of counted) if (more[name] !== undefined) sum[name] = (sum[name] ?? 0) + more[name]
  return sum
}

// ------------------------------------------------------------------------------------------------ where it is stored

/**
 * Instances share records, by a hash of their names: so one commit can hold whatever a page has counted, however many instances it counted for. With
 * cursor and deletions that is at most a hundred operations of the 128 that a store takes.
 */
export const GROUPS = 32

export function groupOf(instance: string): number {
  return Number.parseInt(hash('sha256', instance, 'hex').slice(0, 8), 16) % GROUPS
}

/** Of hours in keys, so that the order of bytes is theirs: ms since 1970, until the year 33,658. */
const HOUR_DIGITS = 15

export function countKeysUnder(root: string, shard: number) {
  const digits = (hourMs: number) => String(hourMs).padStart(HOUR_DIGITS, '0')
  return {
    /** Up to where the log of the shard has been counted. */
    cursor: `${root}/usage/${shard}/counted`,
    group: (group: number) => `${root}/usage/${shard}/${group}/`,
    hour: (group: number, hourMs: number) => `${root}/usage/${shard}/${group}/${digits(hourMs)}`,
  }
}

/**
 * All up to batch `seq` has been counted; and of the page behind it, which ends with batch `to`, what is of the groups below `groups`: one that counts for very many
 * instances does not fit one commit.
 */
export type Cursor = { seq: number; server: string; ahead?: { to: number; groups: number } }

export function encodeCursor(cursor: Cursor): Buffer {
  return encodeRecord(cursor)
}

export function decodeCursor(bytes: Uint8Array): Cursor {
  const { seq, server, ahead } = decodeRecord(bytes)
  if (typeof seq !== 'number' || typeof server !== 'string') throw new Error('the cursor of the usage is damaged')
  // Written by this code, under a check.
  return ahead === undefined ? { seq, server } : { seq, server, ahead: ahead as Required<Cursor>['ahead'] }
}

export function encodeCounts(counts: Map<string, Counts>): Buffer {
  return encodeRecord(Object.fromEntries(counts))
}

export function decodeCounts(bytes: Uint8Array): Map<string, Counts> {
  // Written by this code, under a check.
  return new Map(Object.entries(decodeRecord(bytes) as Record<string, Counts>))
}
