/**
 * A page of the trail: lock changes and administrative deeds, merged by their times. A cursor holds the place in both, so that no record is left out
 * or comes twice, whatever the clocks of the servers say.
 */
import type { Clock } from '../clock.ts'
import type { EngineReads } from '../engine/engine.ts'
import type { RegistryKeys } from '../registry/store.ts'
import type { AuditFilter } from './filter.ts'
import type { LogReader } from './reading.ts'
import type { AuditRecord } from './record.ts'
import {
  Budget,
  type Direction,
  FIRST,
  type Found,
  LAST,
  type Place,
  type Scan,
  scanLog,
  scanTrail,
} from './scanning.ts'

export type AuditQuery = AuditFilter & { order: Direction; limit: number; cursor?: string }
export type AuditPage = { records: AuditRecord[] /** null: that was all. */; next: string | null }

export type Sources = {
  engine: EngineReads
  clock: Clock
  registryKeys: RegistryKeys
  reader: LogReader
  /** First digits of the cluster's id, as in the ids of events. */
  cluster: string
  /** Of the registry, as far as is known. */
  newestLink: number
}

/** Text of batches and links that one page looks through: a fraction of a second's work. Then it is answered as far as it has come. */
export const SCAN_BYTES_MAX = 16 * 1024 * 1024

type Cursor = { direction: Direction; log: Place; trail: Place }

/** Rejects with nothing of its own; null: the cursor is none of this cluster's, or was for the other direction. */
export async function pageOfTrail(sources: Sources, query: AuditQuery): Promise<AuditPage | null> {
  const { cursor: given, order, limit, ...filter } = query
  const cursor = given === undefined ? beginning(order) : parseCursor(given, sources.cluster)
  if (!cursor || cursor.direction !== order) return null
  const budget = new Budget(SCAN_BYTES_MAX, sources.clock)
  const scan = (from: Place): Scan => ({ filter, direction: order, from, budget })
  const { engine, registryKeys, newestLink, reader, cluster } = sources
  const log = new Head(scanLog(reader, cluster, scan(cursor.log)))
  const trail = new Head(scanTrail(engine, registryKeys, newestLink, scan(cursor.trail)))
  const page: AuditPage = { records: [], next: null }
  for (;;) {
    const [fromLog, fromTrail] = [await log.peek(), await trail.peek()]
    const isFull = page.records.length === limit
    // Beyond where a scan has come nothing can be put in order with the other.
    const isStopped = fromLog?.record === null || fromTrail?.record === null
    if (fromLog?.record === null) cursor.log = fromLog
    if (fromTrail?.record === null) cursor.trail = fromTrail
    if (!fromLog && !fromTrail) break
    if (isFull || isStopped) {
      page.next = textOf(cursor, cluster)
      break
    }
    const next = isFirst(fromLog, fromTrail, order) ? log : trail
    const placed = next.take()
    page.records.push(placed.record)
    cursor[next === log ? 'log' : 'trail'] = { seq: placed.seq, n: placed.n }
  }
  await Promise.all([log.close(), trail.close()])
  return page
}

/** The next of a scan, looked at before it is taken. */
class Head {
  readonly #scan: AsyncGenerator<Found>
  #found: Found | null | undefined

  constructor(scan: AsyncGenerator<Found>) {
    this.#scan = scan
  }

  async peek(): Promise<Found | null> {
    if (this.#found === undefined) {
      const next = await this.#scan.next()
      this.#found = next.done ? null : next.value
    }
    return this.#found
  }

  take(): Extract<Found, { atMs: number }> {
    const found = this.#found
    if (!found?.record) throw new Error('there is no record to take')
    this.#found = undefined
    return found
  }

  async close(): Promise<void> {
    await this.#scan.return(undefined)
  }
}

/** Whether the log's record comes first; of the same time, the log's. */
function isFirst(fromLog: Found | null, fromTrail: Found | null, order: Direction): boolean {
  if (!fromLog?.record) return false
  if (!fromTrail?.record) return true
  return order === 'oldest' ? fromLog.atMs <= fromTrail.atMs : fromLog.atMs >= fromTrail.atMs
}

function beginning(direction: Direction): Cursor {
  const place = direction === 'oldest' ? { seq: 0, n: FIRST } : { seq: Number.MAX_SAFE_INTEGER - 1, n: LAST }
  return { direction, log: place, trail: place }
}

function textOf({ direction, log, trail }: Cursor, cluster: string): string {
  return [direction === 'oldest' ? 'o' : 'n', cluster, log.seq, log.n, trail.seq, trail.n].join('.')
}

function parseCursor(text: string, cluster: string): Cursor | null {
  const match = /^([on])\.([0-9a-f]+)\.(\d{1,16})\.(\d{1,16})\.(\d{1,16})\.(\d{1,16})$/.exec(text)
  if (!match || match[2] !== cluster) return null
  const [logSeq, logN, trailSeq, trailN] = match.slice(3).map(Number) as [number, number, number, number] // four groups
  const direction = match[1] === 'o' ? 'oldest' : 'newest'
  return { direction, log: { seq: logSeq, n: logN }, trail: { seq: trailSeq, n: trailN } }
}
