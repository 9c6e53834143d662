/** `cluster status`. */
import type { ClusterStatus } from '@holdfast/server/cluster'
import type { Command } from 'commander'
import { wallMs } from './clock.ts'
import { type ClusterOptions, clusterWork, withData } from './cluster-work.ts'
import { formatDuration } from './duration.ts'
import { facts, paint, printJson, printLine, safe, table } from './output.ts'

export function defineStatus(cluster: Command): void {
  withData(cluster.command('status'))
    .description('How the members are, who leads, how full the store is, and which Holdfast server owns which shard.')
    .option('--json', 'print JSON')
    .addHelpText('after', '\nEnds with 0 when all is well, 1 when it is not.')
    .action((options: ClusterOptions & { json?: boolean }) =>
      clusterWork(options, async ({ room, directory, clock }) => {
        const status = await room.statusOf(directory, clock)
        if (options.json) printJson(status)
        else printLine(statusText(status))
        if (!status.isHealthy) process.exitCode = 1
      }),
    )
}

function statusText(status: ClusterStatus): string {
  return [headText(status), membersText(status), storeText(status), ...noticesOf(status)].join('\n\n')
}

function headText(status: ClusterStatus): string {
  const { spareMembers, leader, runner, revision } = status
  return facts([
    ['cluster', `${stateText(status)}, ${spareMembers} more may fail`],
    ['id', `${status.clusterId} (${status.token})`],
    ['leader', leader ?? paint('red', 'none')],
    ['revision', String(revision)],
    ['directory', status.path],
    ['last backup', backupText(status)],
    ['run by', runner ? `process ${runner.pid}, ${runner.restarts} restarts of members` : paint('dim', 'nobody here')],
  ])
}

function backupText({ backup: { last, everyMs } }: ClusterStatus): string {
  const rule = everyMs === null ? '' : `, one every ${formatDuration(everyMs)}`
  if (!last) return paint('dim', `none from here${rule}`)
  return `${formatDuration(Math.max(0, wallMs() - last.at))} ago${rule}: ${last.file}`
}

function stateText({ isHealthy, hasQuorum, store }: ClusterStatus): string {
  if (isHealthy) return paint('green', 'healthy')
  if (!hasQuorum) return paint('red', 'DOWN: no quorum')
  if (store && !store.servers.some(({ isBeating }) => isBeating)) return paint('red', 'DOWN: no server is alive')
  return paint('yellow', 'works, but not all is well')
}

function membersText({ members, quotaBytes }: ClusterStatus): string {
  const size = (bytes: number | null) => (bytes === null ? '-' : `${(bytes / 1024 / 1024).toFixed(1)} MiB`)
  const rows = members.map(member => [
    safe(member.name || member.id),
    member.role,
    member.trouble === null ? paint('green', 'well') : paint('red', safe(member.trouble)),
    member.url ?? '-',
    member.version ?? '-',
    member.dbBytes === null ? '-' : `${size(member.dbBytes)} (${Math.round((member.dbBytes / quotaBytes) * 100)} %)`,
    size(member.dbLiveBytes),
    member.lag === null ? '-' : String(member.lag),
  ])
  return table(['member', 'role', 'health', 'clients at', 'etcd', 'file (of quota)', 'in use', 'behind'], rows)
}

function storeText({ store, storeTrouble }: ClusterStatus): string {
  if (storeTrouble !== null) return paint('dim', 'Which servers use it is not known.')
  if (!store) return paint('dim', 'No Holdfast server has used it yet.')
  const owned = (server: string) => store.shards.filter(shard => shard.server === server).map(({ shard }) => shard)
  const rows = store.servers.map(({ server, address, startedAt, isBeating }) => [
    safe(server),
    isBeating ? paint('green', 'alive') : paint('red', 'silent'),
    safe(address),
    formatDuration(Math.max(0, wallMs() - startedAt)),
    owned(server).join(' ') || '-',
  ])
  return rows.length > 0
    ? table(['server', 'state', 'address', 'up for', 'owns shards'], rows)
    : paint('dim', 'No server.')
}

function noticesOf({ problems, alarms, warnings, certificates }: ClusterStatus): string[] {
  const due = certificates.flatMap(({ problem }) => problem ?? [])
  return [
    ...problems.map(({ what, change }) => `${paint('red', `PROBLEM: ${safe(what)}`)}\n→ ${safe(change)}`),
    ...alarms.map(({ member, alarm }) => paint('red', `ALARM ${alarm} of ${safe(member)}`)),
    ...warnings.map(warning => paint('yellow', `warning: ${warning}.`)),
    ...due.map(({ what, change }) => `${paint('yellow', safe(what))}\n→ ${safe(change)}`),
  ]
}
