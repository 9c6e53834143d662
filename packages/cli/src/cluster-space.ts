/** `cluster compact` and `defrag`: what happens by itself, now. `cluster quota`: how much room there is in all. */
import type { Command } from 'commander'
import { clusterOperation, type OperationOptions, withOperation } from './cluster-work.ts'
import { parseBytes, parseDuration } from './duration.ts'

export function defineSpace(cluster: Command): void {
  withOperation(cluster.command('compact'))
    .description('Let etcd forget what has been superseded. The servers do that by themselves; this does it now.')
    .option('--after <duration>', 'how long those who are reading now are given (default: 10s)', parseDuration)
    .action((options: OperationOptions & { after?: number }) =>
      clusterOperation(options, 'compact', async tools => {
        const revision = await tools.room.compactNow(tools, options.after)
        return { text: `Compacted up to revision ${revision}.`, json: { revision } }
      }),
    )
  withOperation(cluster.command('defrag'))
    .description('Give free pages of the database back, one member after another, the leader last.')
    .action((options: OperationOptions) =>
      clusterOperation(options, 'defrag', async tools => {
        const members = await tools.room.defragmentAll(tools)
        const freedBytes = members.reduce((sum, { bytesBefore, bytesAfter }) => sum + bytesBefore - bytesAfter, 0)
        const text = `Defragmented ${members.length} members; ${tools.room.megabytes(freedBytes)} came free.`
        return { text, json: { members, freedBytes } }
      }),
    )
  withOperation(cluster.command('quota'))
    .description(
      'How large the database may get from now on. The members of this machine are started anew, one after another, while all goes on; do the same on each machine that has others: the smallest counts.',
    )
    .argument('<size>', 'like 4GiB', parseBytes)
    .action((quotaBytes: number, options: OperationOptions) =>
      clusterOperation(options, 'quota', async tools => {
        await tools.room.changeQuota(tools, quotaBytes)
        const text = `The database may have ${tools.room.megabytes(quotaBytes)} now. Servers on etcd before 3.6 are not told: start them with --etcd-quota-bytes ${quotaBytes}.`
        return { text, json: { quotaBytes } }
      }),
    )
}
