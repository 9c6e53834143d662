/** The definitions of the operator’s metrics, `holdfast_*`. Names of locks are never labels. Those of tenants are in tenants.ts. */
import { Counter, Gauge, Histogram, type Registry } from 'prom-client'
import { HOLD_SECONDS, HotHistogram, TTL_SECONDS, WAIT_SECONDS } from './buckets.ts'

export type ShardHealth = {
  shard: number
  locks: number
  grants: number
  sessions: number
  waiters: number
  logBytes: number
  seq: number
}

const REQUEST_SECONDS = [0.001, 0.003, 0.01, 0.03, 0.1, 0.5, 2, 10, 60]
const COMMIT_SECONDS = [0.0005, 0.001, 0.002, 0.005, 0.01, 0.025, 0.1, 0.5, 2]
const BATCH_ENTRIES = [1, 2, 5, 10, 50, 100, 500, 1_000, 5_000]

export function createMetrics(registry: Registry) {
  const registers = [registry]
  return {
    expiries: new Counter({
      name: 'holdfast_sessions_expired_total',
      help: 'Sessions that ended because nothing was heard of them.',
      registers,
    }),
    stalls: new Counter({
      name: 'holdfast_loop_stalls_total',
      help: 'Times that the event loop stood still, or the process was paused.',
      registers,
    }),
    clockSteps: new Counter({
      name: 'holdfast_clock_steps_total',
      help: 'Times that the wall clock left the time since boot by a second or more: it was set, or the machine was frozen so that no clock counted.',
      registers,
    }),
    ttls: new HotHistogram({
      name: 'holdfast_session_ttl_seconds',
      help: 'For how long a session that was opened lives without being heard of.',
      buckets: TTL_SECONDS,
      registry,
    }),
    inversions: new Counter({
      name: 'holdfast_lock_order_inversions_total',
      help: 'Times that a lock was taken while holding another, after others had taken the two the other way round: a deadlock that has not happened yet.',
      registers,
    }),
    beats: new Counter({
      name: 'holdfast_beats_total',
      help: 'Proofs of life of this server.',
      labelNames: ['outcome'],
      registers,
    }),
    store: new Gauge({
      name: 'holdfast_store_bytes',
      help: 'Room in the store: `used` counts against `quota`, `live` is what is in it.',
      labelNames: ['of'],
      registers,
    }),
    storeFull: new Gauge({
      name: 'holdfast_store_full',
      help: '1 while the store is nearly full and what would grow it is refused.',
      registers,
    }),
    waits: new HotHistogram({
      name: 'holdfast_wait_seconds',
      help: 'How long a granted request waited in line.',
      buckets: WAIT_SECONDS,
      registry,
    }),
    holds: new HotHistogram({
      name: 'holdfast_hold_seconds',
      help: 'How long grants lasted.',
      buckets: HOLD_SECONDS,
      registry,
    }),
    requests: new Histogram({
      name: 'holdfast_request_seconds',
      help: 'REST requests.',
      labelNames: ['method', 'route', 'status'],
      buckets: REQUEST_SECONDS,
      registers,
    }),
    batches: new Histogram({
      name: 'holdfast_batch_entries',
      help: 'Entries of one batch of the log.',
      buckets: BATCH_ENTRIES,
      registers,
    }),
    commits: new Histogram({
      name: 'holdfast_commit_seconds',
      help: 'How long the store took for one batch.',
      buckets: COMMIT_SECONDS,
      registers,
    }),
    connections: new Gauge({ name: 'holdfast_connections', help: 'Open WebSockets.', registers }),
    watches: new Gauge({ name: 'holdfast_watch_streams', help: 'Open watches.', registers }),
  }
}

/** Read when somebody looks, not kept up to date in between. */
export function gauges(registry: Registry, shardsNow: () => readonly ShardHealth[]): void {
  const rows: [string, string, (shard: ShardHealth) => number][] = [
    ['holdfast_locks', 'Locks that are configured or in use.', shard => shard.locks],
    ['holdfast_grants', 'Grants that are held.', shard => shard.grants],
    ['holdfast_sessions', 'Live sessions.', shard => shard.sessions],
    ['holdfast_waiters', 'Requests that wait in line.', shard => shard.waiters],
    ['holdfast_log_bytes', "Size of the shard's log.", shard => shard.logBytes],
    ['holdfast_log_sequence', 'Newest batch of the log.', shard => shard.seq],
  ]
  for (const [name, help, read] of rows) {
    new Gauge({
      name,
      help,
      labelNames: ['shard'],
      registers: [registry],
      collect() {
        // A shard that has moved is another server's to tell of.
        this.reset()
        for (const shard of shardsNow()) this.set({ shard: String(shard.shard) }, read(shard))
      },
    })
  }
}

/** A counter whose numbers are kept in a map, one for each value of its label. */
export function countBy(
  registry: Registry,
  { name, help, label }: { name: string; help: string; label: string },
  counts: ReadonlyMap<string, number>,
): void {
  new Counter({
    name,
    help,
    labelNames: [label],
    registers: [registry],
    collect() {
      this.reset()
      for (const [value, count] of counts) this.inc({ [label]: value }, count)
    },
  })
}
