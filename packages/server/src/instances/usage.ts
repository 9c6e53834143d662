/** What an instance has used, for whoever asks: unit hours and cost from its record, what happened from what has been counted. */
import { HoldfastError } from '@holdfast/protocol/errors'
import { USAGE_ROWS_MAX } from '@holdfast/protocol/limits'
import { SERVICE_INSTANCE } from '@holdfast/protocol/operation'
import type { Clock } from '../clock.ts'
import type { EngineReads } from '../engine/engine.ts'
import type { Registry } from '../registry/port.ts'
import { type InstanceRecord, type ReclaimedRecord, UNMETERED_PLAN } from '../registry/records.ts'
import { keysUnder } from '../shards/keys.ts'
import { decodeMeta } from '../shards/meta.ts'
import { shardOf } from '../shards/router.ts'
import { planIdOf } from './catalog-ids.ts'
import { addCounts, type Counts, countKeysUnder, decodeCounts, groupOf, hourOf } from './counts.ts'
import { planOf } from './plans.ts'
import { costUsd, HOUR_MS, type Metered, metered, type Plans, unitHours } from './unit-hours.ts'

export type Span = { fromMs: number; toMs: number }
export type Period = 'hour' | 'day' | 'month'
export type PlanHours = { planId: string; unitHours: number }
export type UsageRow = Span & { unitHours: number; byPlan: PlanHours[]; costUsd: number; operations: Counts }
export type UsageReport = {
  /** Also one that is gone for good, for as long as something of it is kept. */
  instance: InstanceRecord | ReclaimedRecord
  /** Of its plan, in catalogues and on bills. */
  planId: string
  rows: UsageRow[]
  month: Span & { unitHours: number; costUsd: number; forecastUsd: number }
}

/** What the doors ask. @throws as `usageOf` */
export type UsageOf = (instance: string, asked: Partial<Span> & { by?: Period }) => Promise<UsageReport>

export type UsageOptions = {
  engine: EngineReads
  clock: Pick<Clock, 'wallMs'>
  root: string
  registry: Registry
  /** As the catalogue calls the service. */
  serviceName: string
}

/** Records of hours that are read at once. */
const PAGE_HOURS = 1_000

/** @throws HoldfastError `not_found` when there is no such instance, `invalid_request` when the span is none or has too many rows. */
export async function usageOf(
  options: UsageOptions,
  instance: string,
  asked: Partial<Span> & { by?: Period },
): Promise<UsageReport> {
  const { clock, registry } = options
  const own = instance === SERVICE_INSTANCE ? ownInstance : null
  const record = registry.get('instance', instance) ?? registry.get('reclaimed', instance) ?? own
  if (!record) throw new HoldfastError('not_found', `There is no instance \`${instance}\`.`)
  const nowMs = clock.wallMs()
  const month = periodOf(nowMs, 'month')
  const { fromMs = month.fromMs, toMs = nowMs, by = 'day' } = asked
  if (!(fromMs <= toMs)) throw misfit('from', '`from` must not be later than `to`.')
  const plans: Plans = id => planOf(registry, id)
  const hours = await countsOf(options, instance, { fromMs: hourOf(fromMs), toMs })
  // Before that there is nothing to tell. What has been counted was there, whatever the record says.
  const beganMs = Math.min(record.createdAtMs, hours[0]?.[0] ?? Number.POSITIVE_INFINITY)
  const { serviceName } = options
  const spans = cut({ fromMs: Math.max(fromMs, periodOf(beganMs, by).fromMs), toMs }, by)
  const firstMs = spans[0]?.fromMs ?? toMs
  const rows = spans.map(span => {
    // Nothing has been used of the time that is yet to come.
    const parts = metered(record, plans, { ...span, toMs: Math.min(span.toMs, nowMs) })
    const operations: Counts = {}
    for (const [hourMs, counts] of hours) if (isIn(hourMs, span, firstMs)) addCounts(operations, counts)
    const byPlan = parts.map(part => ({
      planId: planIdOf({ serviceName, plan: part.plan }),
      unitHours: unitHours([part]),
    }))
    return { ...span, unitHours: unitHours(parts), byPlan, costUsd: rounded(costUsd(parts, plans)), operations }
  })
  const planId = planIdOf({ serviceName, plan: record.plan })
  return { instance: record, planId, rows, month: monthOf(record, plans, month, nowMs) }
}

/** An hour belongs to the row that it begins in; the one that the report begins within, to the first. */
function isIn(hourMs: number, { fromMs, toMs }: Span, firstMs: number): boolean {
  return hourMs < toMs && (hourMs >= fromMs || fromMs === firstMs)
}

function monthOf(record: UsageReport['instance'], plans: Plans, month: Span, nowMs: number): UsageReport['month'] {
  const soFar = metered(record, plans, { ...month, toMs: nowMs })
  const whole = metered(record, plans, month)
  const cost = (parts: Metered[]) => rounded(costUsd(parts, plans))
  return { ...month, unitHours: unitHours(soFar), costUsd: cost(soFar), forecastUsd: cost(whole) }
}

const CENT_PARTS = 100_000
function rounded(usd: number): number {
  return Math.round(usd * CENT_PARTS) / CENT_PARTS
}

/** The hour, day or month in UTC that the time lies in. */
export function periodOf(atMs: number, by: Period): Span {
  const at = new Date(atMs)
  const [year, month, day] = [at.getUTCFullYear(), at.getUTCMonth(), at.getUTCDate()]
  if (by === 'month') return { fromMs: Date.UTC(year, month), toMs: Date.UTC(year, month + 1) }
  if (by === 'day') return { fromMs: Date.UTC(year, month, day), toMs: Date.UTC(year, month, day + 1) }
  return { fromMs: hourOf(atMs), toMs: hourOf(atMs) + HOUR_MS }
}

function cut({ fromMs, toMs }: Span, by: Period): Span[] {
  const spans: Span[] = []
  for (let nextMs = fromMs; nextMs < toMs; ) {
    if (spans.length === USAGE_ROWS_MAX)
      throw misfit('by', `That would be more than ${USAGE_ROWS_MAX} rows; ask for a shorter time or longer rows.`)
    const endMs = Math.min(toMs, periodOf(nextMs, by).toMs)
    spans.push({ fromMs: nextMs, toMs: endMs })
    nextMs = endMs
  }
  return spans
}

function misfit(name: string, message: string): HoldfastError {
  return new HoldfastError('invalid_request', message, { details: { target: { type: 'parameter', name } } })
}

/** What happened in the hours that begin within the span, oldest first. */
export async function countsOf(
  { engine, root }: UsageOptions,
  instance: string,
  span: Span,
): Promise<[number, Counts][]> {
  const meta = await engine.read(keysUnder(root).meta)
  if (!meta) return []
  const keys = countKeysUnder(root, shardOf(instance, decodeMeta(meta.value).shards))
  const group = groupOf(instance)
  const found: [number, Counts][] = []
  for (let after = keys.hour(group, Math.max(0, span.fromMs - 1)); ; ) {
    const { pairs, more } = await engine.list({ prefix: keys.group(group), limit: PAGE_HOURS, after })
    for (const { key, value } of pairs) {
      const hourMs = Number(key.slice(key.lastIndexOf('/') + 1))
      if (hourMs >= span.toMs) return found
      const counts = decodeCounts(value).get(instance)
      if (counts) found.push([hourMs, counts])
    }
    if (!more) return found
    after = pairs.at(-1)?.key ?? after
  }
}

/** Of a server whose operator has made no records: it has always been there and costs nothing. */
const ownInstance: InstanceRecord = {
  id: SERVICE_INSTANCE,
  name: SERVICE_INSTANCE,
  crn: '',
  account: '',
  plan: UNMETERED_PLAN,
  capacityUnits: 1,
  region: '',
  state: 'active',
  overrides: {},
  createdAtMs: 0,
  createdBy: 'root',
  changedAtMs: 0,
  reclaimAtMs: null,
  history: [],
}
