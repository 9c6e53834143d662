/**
 * What a tenant may know of its own instance, in the names and labels that IBM Cloud Monitoring expects (ECOSYSTEM 1.8). Written out when somebody
 * looks: instances come and go, and nobody but their own people and the operator sees them.
 */
import type { InstanceRecord } from '../registry/records.ts'
import type { TenantCounts } from '../shards/port.ts'

/** Text that Prometheus reads. */
export const METRICS_TYPE = 'text/plain; version=0.0.4; charset=utf-8'
const PREFIX = 'ibm_go_etcd_lock'

export type Tenant = {
  record: InstanceRecord
  /** null: another server decides for it, and has these. */
  counts: TenantCounts | null
  acquires: ReadonlyMap<string, number>
}

const gauges = [
  ['locks', 'Locks that are configured or in use.'],
  ['grants', 'Grants that are held.'],
  ['sessions', 'Live sessions.'],
  ['waiters', 'Requests that wait in line.'],
] as const

export function tenantExposition(tenants: readonly Tenant[], serviceName: string): string {
  const lines: string[] = []
  for (const [name, help] of gauges) {
    lines.push(`# HELP ${PREFIX}_${name} ${help}`, `# TYPE ${PREFIX}_${name} gauge`)
    for (const { record, counts } of tenants)
      if (counts) lines.push(`${PREFIX}_${name}{${labelsOf(record, serviceName)}} ${counts[name]}`)
  }
  const acquires = `${PREFIX}_acquires_total`
  lines.push(`# HELP ${acquires} Requests to acquire at this server, by how they ended.`, `# TYPE ${acquires} counter`)
  for (const { record, acquires: outcomes } of tenants)
    for (const [outcome, count] of outcomes)
      lines.push(`${acquires}{${labelsOf(record, serviceName)},outcome="${outcome}"} ${count}`)
  return `${lines.join('\n')}\n`
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
