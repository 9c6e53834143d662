/** What the trail tells of itself: how much of it there is, what is sent where, and what is missing. */
import type { Logger } from 'pino'
import { Counter, Gauge, type Registry } from 'prom-client'
import type { ArchiveTelemetry } from '../audit/archive.ts'
import type { DeliveryTelemetry } from '../audit/delivery.ts'

export type AuditTelemetry = ArchiveTelemetry &
  DeliveryTelemetry & {
    /** Before anything is: the series of each sink begin at 0 (metrics.ts says why). */
    sending(sinks: readonly string[]): void
  }

/** @param safely a metric is no reason to fail anybody */
export function auditTelemetry(registry: Registry, log: Logger, safely: (act: () => void) => void): AuditTelemetry {
  const registers = [registry]
  const bytes = new Gauge({
    name: 'holdfast_audit_archive_bytes',
    help: 'What the archive of the log takes in the store.',
    labelNames: ['shard'],
    registers,
  })
  const lost = new Counter({
    name: 'holdfast_audit_lost_batches_total',
    help: 'Batches of the log that were deleted without having been archived.',
    registers,
  })
  const sent = new Counter({
    name: 'holdfast_audit_sent_total',
    help: 'Records that a sink has taken.',
    labelNames: ['sink'],
    registers,
  })
  const missed = new Counter({
    name: 'holdfast_audit_missed_batches_total',
    help: 'Batches that were dropped from the archive before the sink took them.',
    labelNames: ['sink'],
    registers,
  })
  const away = new Gauge({
    name: 'holdfast_audit_sink_away_seconds',
    help: 'For how long a sink has taken nothing of what it was sent; 0: it takes it.',
    labelNames: ['sink'],
    registers,
  })
  return {
    archived: () => undefined,
    sending: sinks =>
      safely(() => {
        for (const sink of sinks) for (const series of [sent, missed, away]) series.inc({ sink }, 0)
      }),
    holds: archive => safely(() => bytes.set({ shard: String(archive.shard) }, archive.bytes)),
    failed: failure =>
      safely(() => {
        if (!('sink' in failure)) return log.warn({ shard: failure.shard, err: failure.error }, 'not archived yet')
        away.set({ sink: failure.sink }, failure.awayMs / 1_000)
        log.warn(
          { sink: failure.sink, err: failure.error, awayMs: failure.awayMs },
          'a sink of the audit takes nothing',
        )
      }),
    lost: ({ shard, batches }) =>
      safely(() => {
        lost.inc(batches)
        log.error({ shard, batches }, 'a part of the trail was lost: it could not be archived')
      }),
    sent: ({ sink, records }) => safely(() => sent.inc({ sink }, records)),
    well: ({ sink }) => safely(() => away.set({ sink }, 0)),
    resting: ({ sink, source, error }) =>
      safely(() => log.warn({ sink, source, err: error }, 'a part of the trail cannot be sent now')),
    missed: ({ sink, batches }) =>
      safely(() => {
        missed.inc({ sink }, batches)
        log.error({ sink, batches }, 'a sink has missed a part of the trail')
      }),
  }
}
