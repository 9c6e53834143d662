/** For the tests of this room: a server whose log is archived, on a store that can be spoilt by hand. */
import type { Calendar } from '../clock.ts'
import { hashBatch } from '../shards/batch.ts'
import { FakeClock, keys, type Server, startServer, TestEngine, type World } from '../shards/testing.ts'
import type { ArchiveTelemetry, Retention } from './archive.ts'
import { type AuditOptions, archiveOf, StoredAudit } from './audit.ts'
import { auditKeysUnder } from './keys.ts'
import type { AuditQuery } from './query.ts'
import type { AuditRecord } from './record.ts'

export const auditKeys = auditKeysUnder('test')
export { keys }

export type AuditWorld = World & { audit: StoredAudit; told: { archived: number; failed: number; lost: number } }

export const forEver: Retention = { ageMs: 365 * 86_400_000, bytesMax: 2 ** 30 }
/** The cleaner of the tests is at it all the time. */
export const LOG_BYTES_MIN = 4_000

export async function startAudited(
  options: Partial<Pick<AuditOptions, 'retention' | 'isStrict'>> & {
    clock?: FakeClock
    engine?: TestEngine
    calendar?: Calendar
    shards?: number
  } = {},
): Promise<AuditWorld> {
  const clock = options.clock ?? new FakeClock()
  const engine = options.engine ?? new TestEngine()
  const told = { archived: 0, failed: 0, lost: 0 }
  const telemetry: ArchiveTelemetry = {
    archived: ({ batches }) => {
      told.archived += batches
    },
    holds: () => undefined,
    failed: () => {
      told.failed++
    },
    lost: ({ batches }) => {
      told.lost += batches
    },
  }
  const retention = options.retention === undefined ? forEver : options.retention
  const calendar = options.calendar ?? { now: () => clock.wallMs() }
  const auditOptions = {
    engine,
    clock,
    calendar,
    root: 'test',
    retention,
    isStrict: options.isStrict ?? false,
    telemetry,
  }
  const shards = options.shards ?? 1
  const archive = archiveOf(auditOptions)
  const world = await startServer({
    clock,
    engine,
    config: { logBytesMin: LOG_BYTES_MIN, shards },
    ...(archive && { archive }),
  })
  const audit = new StoredAudit(auditOptions, world.server.shards.meta)
  return { ...world, audit, told }
}

/** Cycles of acquire and release, one after another, so that there are many batches. */
export async function cycles(server: Server, count: number, lock = 'busy'): Promise<void> {
  const session = await server.session(3_600_000)
  for (let cycle = 0; cycle < count; cycle++) {
    const token = await server.grant(session, lock)
    await server.ask(server.release(session, lock, token))
  }
}

/** Waits for a promise in a world whose time stands still. */
export async function settled<Value>(clock: FakeClock, promise: Promise<Value>): Promise<Value> {
  let isDone = false
  const done = () => {
    isDone = true
  }
  promise.then(done, done)
  for (let step = 0; !isDone && step < 10_000; step++) await clock.settle()
  return promise
}

/** All pages of a query. */
export async function allRecords(
  { audit, clock }: AuditWorld,
  query: Partial<AuditQuery> & { instance?: string } = {},
): Promise<AuditRecord[]> {
  const records: AuditRecord[] = []
  for (let cursor: string | null = null; ; ) {
    const asked: AuditQuery = { instance: 'main', order: 'oldest', limit: 50, ...query, ...(cursor && { cursor }) }
    const page = await settled(clock, audit.page(asked))
    if (!page) throw new Error('the cursor was not taken')
    records.push(...page.records)
    cursor = page.next
    if (cursor === null) return records
  }
}

/** What the log holds now, by sequence number. */
export function logOf({ engine }: AuditWorld, shard = 0): { seq: number; hash: string; bytes: Uint8Array }[] {
  const { pairs } = engine.store.list({ prefix: keys.log(shard), limit: 10_000 })
  return pairs.map(({ key, value }) => ({ seq: Number(key.slice(-16)), hash: hashBatch(value), bytes: value }))
}
