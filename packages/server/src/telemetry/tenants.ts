/**
 * What a tenant may know of its own instance, in the names and labels that IBM Cloud Monitoring expects (ECOSYSTEM 1.8). Written out when somebody
 * looks: instances come and go, and nobody but their own people and the operator sees them.
 */
import { toSnake } from '@holdfast/protocol/casing'
import type { InstanceRecord, Limits } from '../registry/records.ts'
import type { TenantCounts } from '../shards/port.ts'
import { Buckets, HOLD_SECONDS, WAIT_SECONDS } from './buckets.ts'

/** Text that Prometheus reads. */
export const METRICS_TYPE = 'text/plain; version=0.0.4; charset=utf-8'
export const PREFIX = 'ibm_go_etcd_lock'

/** What one instance has done at this server since it started. */
export class TenantFigures {
  /** Requests to acquire, by how they ended: `granted`, or the code of the refusal. */
  readonly acquires = new Map<string, number>()
  /** Grants, by how they ended. */
  readonly ends = new Map<string, number>()
  readonly waits = new Buckets(WAIT_SECONDS)
  readonly holds = new Buckets(HOLD_SECONDS)
}

export type Tenant = {
  record: InstanceRecord
  /** Of each limit that there is: what it may be compared with. */
  limits: Limits
  /** null: another server decides for it, and has these. */
  counts: TenantCounts | null
  /** null: it has done nothing here. */
  figures: TenantFigures | null
}

type Sample = { suffix?: string; labels?: Readonly<Record<string, string | number>>; value: number }
export type TenantMetric = {
  name: string
  type: 'gauge' | 'counter' | 'histogram'
  help: string
  /** IBM's word for what its labels, beside those of the instance, tell apart. */
  segment: string | null
  /** Too many lines each to be told of thousands: only where one instance is looked at. */
  isDetail?: true
  samples(tenant: Tenant): Sample[]
}

const gauge = (name: Exclude<keyof TenantCounts, 'instance'>, of: string, help: string): TenantMetric => ({
  ...{ name: of, type: 'gauge', help, segment: null },
  samples: ({ counts }) => (counts ? [{ value: counts[name] }] : []),
})

const counted = (label: string, counts: ReadonlyMap<string, number> | undefined): Sample[] =>
  [...(counts ?? [])].map(([text, value]) => ({ labels: { [label]: text }, value }))

/** All that there are, as docs/access/metrics.md lists them. */
export const tenantMetrics: readonly TenantMetric[] = [
  gauge('locks', 'locks', 'Locks that are configured or in use.'),
  gauge('grants', 'grants', 'Grants that are held.'),
  gauge('sessions', 'sessions', 'Live sessions.'),
  gauge('waiters', 'waiters', 'Requests that wait in line.'),
  gauge('storedBytes', 'stored_bytes', 'Bytes of values, metadata, labels and configurations.'),
  {
    ...{ name: 'limit', type: 'gauge', segment: 'of', isDetail: true },
    help: 'What the instance may use at most, of what is limited.',
    samples: ({ limits }) =>
      Object.entries(toSnake(limits) as Record<string, number | null>).flatMap(([of, value]) =>
        value === null ? [] : [{ labels: { of }, value }],
      ),
  },
  {
    ...{ name: 'acquires_total', type: 'counter', segment: 'outcome' },
    help: 'Requests to acquire at this server, by how they ended.',
    samples: ({ figures }) => counted('outcome', figures?.acquires),
  },
  {
    ...{ name: 'grants_ended_total', type: 'counter', segment: 'how' },
    help: 'Grants that ended, by how.',
    samples: ({ figures }) => counted('how', figures?.ends),
  },
  {
    ...{ name: 'wait_seconds', type: 'histogram', segment: null, isDetail: true },
    help: 'How long a granted request waited in line.',
    samples: ({ figures }) => figures?.waits.series() ?? [],
  },
  {
    ...{ name: 'hold_seconds', type: 'histogram', segment: null, isDetail: true },
    help: 'How long grants lasted.',
    samples: ({ figures }) => figures?.holds.series() ?? [],
  },
]

/** Instances whose lines of one metric are one piece: some 60 KB. */
const PIECE_TENANTS = 200

/** In pieces, so that others have their turn in between: ten thousand instances are some 36 MB, and a quarter of a second. */
export function* tenantExposition(
  tenants: readonly Tenant[],
  { serviceName, hasDetails }: { serviceName: string; hasDetails: boolean },
): Generator<string> {
  const labels = new Map<Tenant, string>()
  for (const { name, type, help, isDetail = false, samples } of tenantMetrics) {
    if (isDetail && !hasDetails) continue
    yield `# HELP ${PREFIX}_${name} ${help}\n# TYPE ${PREFIX}_${name} ${type}\n`
    for (let from = 0; from < tenants.length; from += PIECE_TENANTS)
      yield tenants
        .slice(from, from + PIECE_TENANTS)
        .map(linesOf)
        .join('')

    function linesOf(tenant: Tenant): string {
      const own = labels.get(tenant) ?? labelsOf(tenant.record, serviceName)
      labels.set(tenant, own)
      return samples(tenant)
        .map(
          ({ suffix = '', labels: more = {}, value }) =>
            `${PREFIX}_${name}${suffix}{${own}${spelled(more)}} ${value}\n`,
        )
        .join('')
    }
  }
}

function spelled(labels: Readonly<Record<string, string | number>>): string {
  return Object.entries(labels)
    .map(([label, value]) => `,${label}="${escaped(String(value))}"`)
    .join('')
}

function labelsOf({ id, name, account, region, crn }: InstanceRecord, serviceName: string): string {
  const labels = {
    ibm_ctype: crn.split(':')[3] ?? '',
    ibm_location: region,
    ibm_scope: `a/${account}`,
    ibm_service_name: serviceName,
    ibm_service_instance: id,
    ibm_service_instance_name: name,
    // There are no resource groups here.
    ibm_resource_group_name: 'default',
    ibm_resource_group_id: 'default',
  }
  return Object.entries(labels)
    .map(([label, value]) => `${label}="${escaped(value)}"`)
    .join(',')
}

/** As the text format asks for. */
function escaped(value: string): string {
  return value.replaceAll('\\', '\\\\').replaceAll('"', '\\"').replaceAll('\n', '\\n')
}
