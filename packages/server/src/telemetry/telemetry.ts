/**
 * What the outside may know of how the service is doing: a log in JSON lines and Prometheus metrics. One function a
 * happening. None throws, for nothing may fail because it was counted; none is ever given a secret.
 */
import { channel } from 'node:diagnostics_channel'
import { type Logger, pino } from 'pino'
import { collectDefaultMetrics, Registry } from 'prom-client'
import type { Config } from '../config/config.ts'
import type { Entry } from '../locks/model.ts'
import type { ShardTelemetry } from '../shards/telemetry.ts'
import { auditTelemetry } from './audit.ts'
import {
  countBy,
  createMetrics,
  endsFromZero,
  gauges,
  type Outcome,
  outcomesFromZero,
  type ServerHealth,
} from './metrics.ts'
import { TenantFigures } from './tenants.ts'

export type RequestLine = {
  trace: string
  correlation?: string | undefined
  traceparent?: string | undefined
  method: string
  route: string
  status: number
  ms: number
}
/** Takes a line. pino's own waits, at the end of the process, for readers that have gone. */
export type LogDestination = { write(text: string): unknown }
export type Telemetry = ReturnType<typeof createTelemetry>

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

/** As often as the shards' own tick. */
const LOOP_PRECISION_MS = 50

/** What answers rest on, for whoever listens in this process: tests that judge it (decision 0116). Nobody does in service. */
const turns = channel('holdfast.turn')

export function createTelemetry(
  config: Pick<Config, 'logLevel' | 'logsRequests' | 'serviceName' | 'location' | 'serverName'>,
  /** null: it is not open yet. */
  health: () => ServerHealth | null,
  destination: LogDestination = { write: text => process.stdout.write(text) },
) {
  const options = { level: config.logLevel, base: { server: config.serverName }, redact: redacted }
  const log: Logger = pino(options, destination)
  const registry = new Registry()
  // Its default of 10 ms would wake an idle server a hundred times a second.
  collectDefaultMetrics({ register: registry, eventLoopMonitoringPrecision: LOOP_PRECISION_MS })
  // Gauges whose names end like a counter's: `promtool check metrics` refuses them, and the same is told by kind under the names without `_total`.
  for (const kind of ['handles', 'requests', 'resources']) registry.removeSingleMetric(`nodejs_active_${kind}_total`)
  const outcomes = outcomesFromZero()
  const ends = endsFromZero()
  const metrics = createMetrics(registry)
  countBy(registry, { name: 'holdfast_grants_ended_total', help: 'Grants that ended, by how.', label: 'how' }, ends)
  const acquires = { help: 'Requests to acquire, by how they ended.', label: 'outcome' }
  countBy(registry, { name: 'holdfast_acquires_total', ...acquires }, outcomes)
  gauges(registry, health)
  const figures = new Map<string, TenantFigures>()
  const figuresOf = (instance: string) => {
    const known = figures.get(instance)
    if (known) return known
    const own = new TenantFigures()
    figures.set(instance, own)
    return own
  }
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
    /** What one instance has done at this server since it started. */
    tenant: (instance: string): TenantFigures | null => figures.get(instance) ?? null,
    /** It is gone for good. */
    tenantGone: (instance: string) => void figures.delete(instance),
    acquireDone(instance: string, outcome: Outcome, waitedMs: number | null) {
      safely(() => {
        count(outcomes, outcome)
        const own = figuresOf(instance)
        count(own.acquires, outcome)
        if (waitedMs === null) return
        metrics.waits.observe(waitedMs / 1000)
        own.waits.observe(waitedMs / 1000)
      })
    },
    shards: shardTelemetry(log, metrics, { ends, figuresOf }),
    audit: auditTelemetry(registry, log, safely),
    connectionOpened: () => safely(() => metrics.connections.inc()),
    connectionClosed: () => safely(() => metrics.connections.dec()),
    watchOpened: () => safely(() => metrics.watches.inc()),
    watchClosed: () => safely(() => metrics.watches.dec()),
    clockStepped: ({ ms }: { ms: number }) =>
      safely(() => {
        metrics.clockSteps.inc()
        log.warn({ ms }, 'the wall clock was set, or this machine was frozen')
      }),
    /** The cause is logged here and goes nowhere else. */
    failed: (trace: string, error: unknown) => safely(() => log.error({ trace, err: error }, 'internal error')),
    happened: (message: string, fields: Record<string, unknown> = {}) => safely(() => log.info(fields, message)),
    warned: (message: string, fields: Record<string, unknown> = {}) => safely(() => log.warn(fields, message)),
    fatal: (message: string, error: unknown) => safely(() => log.fatal({ err: error }, message)),
    close: () => safely(() => registry.clear()),
  }
}

function count<Label>(counts: Map<Label, number>, label: Label): void {
  counts.set(label, (counts.get(label) ?? 0) + 1)
}

/** What the shards tell: counted, and what a person should see is logged. */
function shardTelemetry(
  log: Logger,
  metrics: ReturnType<typeof createMetrics>,
  { ends, figuresOf }: { ends: Map<string, number>; figuresOf(instance: string): TenantFigures },
): ShardTelemetry {
  const counted = (instance: string, entry: Entry) => {
    if (entry.record === 'session' && entry.type === 'session_opened' && entry.value)
      metrics.ttls.observe(entry.value.ttlMs / 1_000)
    if (entry.record !== 'grant' || entry.value !== null) return
    const own = figuresOf(instance)
    count(ends, entry.type)
    count(own.ends, entry.type)
    if (entry.heldMs === undefined) return
    metrics.holds.observe(entry.heldMs / 1_000)
    own.holds.observe(entry.heldMs / 1_000)
  }
  let unissued = 0
  return {
    happened: ({ written }) =>
      safely(() => {
        for (const { instance, entries } of written) for (const entry of entries) counted(instance, entry)
      }),
    batchCommitted: ({ entries, ms }) =>
      safely(() => {
        metrics.batches.observe(entries)
        metrics.commits.observe(ms / 1000)
      }),
    turnAnswered: turn => {
      if (turns.hasSubscribers) turns.publish(turn)
    },
    sessionExpired: ({ session }) =>
      safely(() => {
        metrics.expiries.inc()
        log.debug({ holder: session }, 'session expired')
      }),
    recovered: facts => safely(() => log.info(facts, 'recovered')),
    cleaned: facts => safely(() => log.debug(facts, 'log cleaned')),
    beat: ({ ok }) => safely(() => metrics.beats.inc({ outcome: ok ? 'ok' : 'failed' })),
    died: facts => safely(() => log.warn(facts, 'a server was silent and was declared dead')),
    owned: ({ shard, isOwned }) => safely(() => log.info({ shard }, isOwned ? 'shard taken' : 'shard given up')),
    commitUnknown: ({ what, attempt, error }) =>
      safely(() => log.warn({ what, attempt, err: error }, 'commit with unknown outcome')),
    dropped: ({ shard, reason, error }) => safely(() => log.error({ shard, reason, err: error }, 'state dropped')),
    report: ({ instance, report }) =>
      safely(() => {
        const { type } = report
        if (type === 'lock_order') {
          metrics.inversions.inc()
          const { first, second } = report
          log.warn({ report: type, instance, first, second }, 'locks are taken in different orders')
          return
        }
        metrics.unissued.inc()
        const { lock, token } = report
        // Whoever makes tokens up could fill the log: it is told as often as their number has doubled.
        if (Number.isInteger(Math.log2(++unissued)))
          log.error({ report: type, instance, lock, token }, 'a token above all that were given out')
      }),
    loopStalled: ({ ms }) =>
      safely(() => {
        metrics.stalls.inc()
        log.warn({ ms }, 'event loop stalled')
      }),
    storage: ({ usedBytes, liveBytes, quotaBytes, isFull }) =>
      safely(() => {
        metrics.store.set({ of: 'used' }, usedBytes)
        metrics.store.set({ of: 'live' }, liveBytes)
        if (quotaBytes !== null) metrics.store.set({ of: 'quota' }, quotaBytes)
        metrics.storeFull.set(isFull ? 1 : 0)
      }),
    alarm: ({ what, error }) => safely(() => log.error({ what, err: error }, 'alarm')),
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
