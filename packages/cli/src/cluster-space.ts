/** `cluster compact` and `defrag`: what happens by itself, now. */
import type { Command } from 'commander'
import { type ClusterOptions, clusterOperation, withData } from './cluster-work.ts'
import { parseDuration } from './duration.ts'
import { printLine } from './output.ts'

export function defineSpace(cluster: Command): void {
  withData(cluster.command('compact'))
    .description('Let etcd forget what has been superseded. The servers do that by themselves; this does it now.')
    .option('--after <duration>', 'how long those who are reading now are given', parseDuration, 10_000)
    .action((options: ClusterOptions & { after: number }) =>
      clusterOperation(options, 'compact', async tools => {
        printLine(`Compacted up to revision ${await tools.room.compactNow(tools, options.after)}.`)
      }),
    )
  withData(cluster.command('defrag'))
    .description('Give free pages of the database back, one member after another, the leader last.')
    .action((options: ClusterOptions) =>
      clusterOperation(options, 'defrag', async tools => {
        const done = await tools.room.defragmentAll(tools)
        const freed = done.reduce((sum, { bytesBefore, bytesAfter }) => sum + bytesBefore - bytesAfter, 0)
        printLine(`Defragmented ${done.length} members; ${tools.room.megabytes(freed)} came free.`)
      }),
    )
}
