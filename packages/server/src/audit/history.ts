/** What happened to one lock, beyond what the owner of its shard remembers: read from its log and the archive. */

import type { LockEvent } from '@holdfast/protocol/events'
import type { Clock } from '../clock.ts'
import type { LogReader } from './reading.ts'
import type { Placed } from './record.ts'
import { Budget, FIRST, LAST, type Place, scanLog } from './scanning.ts'

export type PastEvents = {
  /** Newest first. */
  events: LockEvent[]
  /** Where the next page begins; null: that was all. */
  next: string | null
}

export type HistoryQuery = {
  instance: string
  lock: string
  limit: number
  /** Id of an event: only those before it. */
  before?: string
  untilMs?: number
}

/** Text that one page looks through. Somebody waits for it, and asks for one lock: most batches are not parsed. */
const SCAN_BYTES = 64 * 1024 * 1024

export async function pastEvents(
  { reader, cluster, clock }: { reader: LogReader; cluster: string; clock: Clock },
  { instance, lock, limit, before, untilMs }: HistoryQuery,
): Promise<PastEvents> {
  const from = before === undefined ? { seq: Number.MAX_SAFE_INTEGER - 1, n: LAST } : placeOf(before, cluster)
  const past: PastEvents = { events: [], next: null }
  if (!from) return past
  const filter = { instance, lock, ...(untilMs !== undefined && { untilMs }) }
  // The events of the batch itself are told apart by their own numbers.
  const scan = {
    filter,
    direction: 'newest' as const,
    from: { seq: from.seq, n: LAST },
    budget: new Budget(SCAN_BYTES, clock),
  }
  for await (const found of scanLog(reader, cluster, scan)) {
    if (found.record === null) {
      past.next = idOf(cluster, { seq: found.seq, n: FIRST })
      break
    }
    if (found.event === 0 || (found.seq === from.seq && found.event >= from.n)) continue
    if (past.events.length === limit) {
      past.next = past.events.at(-1)!.id
      break
    }
    past.events.push(eventOf(found))
  }
  return past
}

/** Of the ids of events, as the feed makes them; null: it is another cluster's. */
export function placeOf(id: string, own: string): Place | null {
  const [, cluster, seq, index] = /^([0-9a-f]+)-(\d{1,16})-(\d{1,16})$/.exec(id) ?? []
  return cluster === own ? { seq: Number(seq), n: Number(index) } : null
}

function idOf(cluster: string, { seq, n }: Place): string {
  return `${cluster}-${seq}-${n}`
}

function eventOf({ record, by }: Placed): LockEvent {
  const { id, at, event, target, token, holder, reason } = record
  if (event === undefined) throw new Error('a record without an event has been taken for one')
  const told: LockEvent = { id, at, type: event, lock: target.slice(target.indexOf('/') + 1) }
  if (token !== undefined) told.token = token
  if (holder !== undefined) told.holder = holder
  if (by !== undefined) told.by = by
  if (reason !== undefined) told.reason = reason
  return told
}
