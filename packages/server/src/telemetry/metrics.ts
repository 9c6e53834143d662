/** The definitions of the operator’s metrics, `holdfast_*`. Names of locks are never labels. Those of tenants are in tenants.ts. */

import { type ErrorCode, lostReasons } from '@holdfast/protocol/errors'
import { commonErrors } from '@holdfast/protocol/operation'
import { v2 } from '@holdfast/protocol/v2'
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

/** What `/readyz` says, how many shards there are in all, and those that are served here. */
export type ServerHealth = { isReady: boolean; shardsTotal: number; served: readonly ShardHealth[] }

/** How a request to acquire ended: `granted`, or the code of its refusal. */
export type Outcome = 'granted' | ErrorCode

/**
 * Every value of a label that can be known beforehand has its series from the start, at 0. PromQL takes a series that is not there for no number rather
 * than for 0, so `increase()` of one that begins with its first happening never sees that happening: the alert would miss what it is for.
 */
const OUTCOMES: readonly Outcome[] = ['granted', ...v2.acquireLock.errors, ...commonErrors]
const ENDS = ['released', ...lostReasons] as const
const BEATS = ['ok', 'failed'] as const

/** Plain numbers on the hot path; they become series when somebody looks. */
export const outcomesFromZero = (): Map<Outcome, number> => new Map(OUTCOMES.map(outcome => [outcome, 0]))
export const endsFromZero = (): Map<string, number> => new Map(ENDS.map(how => [how, 0]))

const REQUEST_SECONDS = [0.001, 0.003, 0.01, 0.03, 0.1, 0.5, 2, 10, 60]
const COMMIT_SECONDS = [0.0005, 0.001, 0.002, 0.005, 0.01, 0.025, 0.1, 0.5, 2]
const BATCH_ENTRIES = [1, 2, 5, 10, 50, 100, 500, 1_000, 5_000]

export function createMetrics(registry: Registry) {
  const registers = [registry]
  const beats = new Counter({
    name: 'holdfast_beats_total',
    help: 'Proofs of life of this server.',
    labelNames: ['outcome'],
    registers,
  })
  for (const outcome of BEATS) beats.inc({ outcome }, 0)
  return {
    beats,
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
    unissued: new Counter({
      name: 'holdfast_unissued_tokens_total',
      help: 'Times that somebody came with a token above all that were given out: the store may have been put back in time, or somebody made it up.',
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
export function gauges(registry: Registry, health: () => ServerHealth | null): void {
  new Gauge({
    name: 'holdfast_ready',
    help: '1 while /readyz says that the server is ready, else 0.',
    registers: [registry],
    collect() {
      this.set(health()?.isReady ? 1 : 0)
    },
  })
  new Gauge({
    name: 'holdfast_shards',
    help: 'Shards that there are, on all servers together.',
    registers: [registry],
    collect() {
      this.set(health()?.shardsTotal ?? 0)
    },
  })
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
        // A shard that has moved is another server's to tell of; one that is being recovered, nobody's.
        this.reset()
        for (const shard of health()?.served ?? []) this.set({ shard: String(shard.shard) }, read(shard))
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
