/**
 * What the outside may know of how the service is doing: a log in JSON lines and Prometheus metrics. One function a
 * happening. None throws, for nothing may fail because it was counted; none is ever given a secret.
 */
import type { ErrorCode } from '@holdfast/protocol/errors'
import { type DestinationStream, type Logger, pino } from 'pino'
import { Counter, collectDefaultMetrics, Gauge, Histogram, Registry } from 'prom-client'
import type { Config } from './config.ts'

export type RequestLine = {
  trace: string
  correlation?: string | undefined
  traceparent?: string | undefined
  method: string
  route: string
  status: number
  ms: number
}
/** How a request to acquire ended: `granted`, or the code of its refusal. */
export type Outcome = 'granted' | ErrorCode
type ShardHealth = {
  shard: number
  locks: number
  grants?: number
  sessions: number
  waiters: number
  logBytes: number
  seq: number
}

export type Telemetry = ReturnType<typeof createTelemetry>

const WAIT_SECONDS = [0.001, 0.005, 0.02, 0.1, 0.5, 2, 10, 60, 300, 3600]
const HOLD_SECONDS = [0.005, 0.05, 0.5, 5, 30, 300, 3600, 86_400]
const REQUEST_SECONDS = [0.001, 0.003, 0.01, 0.03, 0.1, 0.5, 2, 10, 60]
const COMMIT_SECONDS = [0.0005, 0.001, 0.002, 0.005, 0.01, 0.025, 0.1, 0.5, 2]
const BATCH_ENTRIES = [1, 2, 5, 10, 50, 100, 500, 1_000, 5_000]
/** Whatever name a secret travels under; the log never shows it. */
const redacted = [
  'authorization',
  'lock_id',
  'session',
  'session_secret',
  'secret',
  'body',
  'headers.authorization',
  'headers["holdfast-session"]',
  '*.authorization',
  '*.secret',
  '*.lock_id',
]

export function createTelemetry(
  config: Pick<Config, 'logLevel' | 'logsRequests' | 'serviceName' | 'location' | 'serverName'>,
  shardsNow: () => readonly ShardHealth[],
  destination?: DestinationStream,
) {
  const options = { level: config.logLevel, base: { server: config.serverName }, redact: redacted }
  const log: Logger = destination ? pino(options, destination) : pino(options)
  const registry = new Registry()
  collectDefaultMetrics({ register: registry })
  // Plain numbers on the hot path; they become series when somebody looks.
  const outcomes = new Map<Outcome, number>()
  const metrics = createMetrics(registry)
  countAcquires(registry, 'holdfast_acquires_total', {}, outcomes)
  gauges(registry, shardsNow)
  tenantMetrics(registry, config, { shardsNow, outcomes })
  return {
    log,
    /** Prometheus text. */
    exposition: () => registry.metrics(),
    contentType: registry.contentType,
    requestDone(line: RequestLine) {
      safely(() => {
        metrics.requests.observe(
          { method: line.method, route: line.route, status: String(line.status) },
          line.ms / 1000,
        )
        if (config.logsRequests) log.info(line, 'request')
      })
    },
    acquireDone(outcome: Outcome, waitedMs: number | null) {
      safely(() => {
        outcomes.set(outcome, (outcomes.get(outcome) ?? 0) + 1)
        if (waitedMs !== null) metrics.waits.observe(waitedMs / 1000)
      })
    },
    holdEnded: (heldMs: number) => safely(() => metrics.holds.observe(heldMs / 1000)),
    grantEnded: (how: string) => safely(() => metrics.ends.inc({ how })),
    batchCommitted(entries: number, ms: number) {
      safely(() => {
        metrics.batches.observe(entries)
        metrics.commits.observe(ms / 1000)
      })
    },
    connectionOpened: () => safely(() => metrics.connections.inc()),
    connectionClosed: () => safely(() => metrics.connections.dec()),
    watchOpened: () => safely(() => metrics.watches.inc()),
    watchClosed: () => safely(() => metrics.watches.dec()),
    /** The cause is logged here and goes nowhere else. */
    failed: (trace: string, error: unknown) => safely(() => log.error({ trace, err: error }, 'internal error')),
    happened: (message: string, fields: Record<string, unknown> = {}) => safely(() => log.info(fields, message)),
    warned: (message: string, fields: Record<string, unknown> = {}) => safely(() => log.warn(fields, message)),
    fatal: (message: string, error: unknown) => safely(() => log.fatal({ err: error }, message)),
    close: () => safely(() => registry.clear()),
  }
}

/** A metric or a full log disk is no reason to fail anybody's request; there is nowhere left to report it to. */
function safely(act: () => void): void {
  try {
    act()
  } catch {
    // Deliberately silent: the one place that reports could not.
  }
}

function createMetrics(registry: Registry) {
  const registers = [registry]
  return {
    ends: new Counter({
      name: 'holdfast_grants_ended_total',
      help: 'Grants that ended, by how.',
      labelNames: ['how'],
      registers,
    }),
    waits: new Histogram({
      name: 'holdfast_wait_seconds',
      help: 'How long a granted request waited in line.',
      buckets: WAIT_SECONDS,
      registers,
    }),
    holds: new Histogram({
      name: 'holdfast_hold_seconds',
      help: 'How long grants lasted.',
      buckets: HOLD_SECONDS,
      registers,
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
function gauges(registry: Registry, shardsNow: () => readonly ShardHealth[]): void {
  const rows: [string, string, (shard: ShardHealth) => number][] = [
    ['holdfast_locks', 'Locks that are configured or in use.', shard => shard.locks],
    ['holdfast_grants', 'Grants that are held.', shard => shard.grants ?? 0],
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
        for (const shard of shardsNow()) this.set({ shard: String(shard.shard) }, read(shard))
      },
    })
  }
}

/** The caller's own instance, in the names and labels that IBM Cloud Monitoring expects. */
function tenantMetrics(
  registry: Registry,
  config: Pick<Config, 'serviceName' | 'location'>,
  { shardsNow, outcomes }: { shardsNow: () => readonly ShardHealth[]; outcomes: ReadonlyMap<Outcome, number> },
): void {
  const labels = {
    ibm_ctype: 'local',
    ibm_location: config.location,
    ibm_scope: 'a/local',
    ibm_service_name: config.serviceName,
    ibm_service_instance: 'default',
    ibm_service_instance_name: 'default',
    ibm_resource_group_name: 'default',
    ibm_resource_group_id: 'default',
  }
  const labelNames = Object.keys(labels) as (keyof typeof labels)[] // `keys` forgets the keys' type
  const prefix = 'ibm_go_etcd_lock'
  const rows: [string, string, (shard: ShardHealth) => number][] = [
    [`${prefix}_grants`, 'Grants that are held.', shard => shard.grants ?? 0],
    [`${prefix}_sessions`, 'Live sessions.', shard => shard.sessions],
    [`${prefix}_waiters`, 'Requests that wait in line.', shard => shard.waiters],
  ]
  for (const [name, help, read] of rows) {
    new Gauge({
      name,
      help,
      labelNames,
      registers: [registry],
      collect() {
        this.set(
          labels,
          shardsNow().reduce((sum, shard) => sum + read(shard), 0),
        )
      },
    })
  }
  countAcquires(registry, `${prefix}_acquires_total`, labels, outcomes)
}

function countAcquires(
  registry: Registry,
  name: string,
  labels: Record<string, string>,
  outcomes: ReadonlyMap<Outcome, number>,
): void {
  new Counter({
    name,
    help: 'Requests to acquire, by how they ended.',
    labelNames: [...Object.keys(labels), 'outcome'],
    registers: [registry],
    collect() {
      this.reset()
      for (const [outcome, count] of outcomes) this.inc({ ...labels, outcome }, count)
    },
  })
}
