/** `cluster backup` and `restore`. */
import { resolve } from 'node:path'
import type { Command } from 'commander'
import {
  clusterOperation,
  clusterWork,
  type Done,
  type OperationOptions,
  parseHost,
  printDone,
  type Tools,
  withOperation,
} from './cluster-work.ts'
import { formatDuration, parseBytes, parseCount, parseDuration, parsePort, parseToken } from './duration.ts'
import { CommandFailure, exitCodes } from './exit.ts'

type BackupOptions = OperationOptions & { dir?: string; keep?: number }
type RestoreOptions = OperationOptions & {
  members?: number
  name?: string
  host: string
  port?: number
  etcd?: string
  root: string
  quotaBytes?: number
  aboveToken?: number
  wait?: number
}

export function defineBackups(cluster: Command): void {
  withOperation(cluster.command('backup'))
    .description(
      'Make a backup, open it to see that it is whole, and put it on the disk. `up --every` makes them by itself.',
    )
    .argument('[file]', 'the file to write (default: a name made of the time, in backups of --data)')
    .option('--dir <directory>', 'a directory for files named by the time')
    .option('--keep <n>', 'how many of those are kept there (default: all)', parseCount)
    .action((file: string | undefined, options: BackupOptions) =>
      clusterOperation(options, 'backup', tools => backUp(tools, file, options)),
    )
  withOperation(cluster.command('restore'))
    .description(
      'Make a new cluster from a backup: in a new directory, after the servers of the old one have stopped. Tokens go on above all that may have been given out, and nothing is granted for as long as holders that the backup knows nothing of may still believe.',
    )
    .argument('<file>', 'the backup')
    .option('--members <n>', 'how many members on this machine (default: 3)', parseCount)
    .option('--name <name>', 'of the first member (default: m1)')
    .option('--host <address>', 'by which the others reach this machine', parseHost, '127.0.0.1')
    .option('--port <port>', 'the first port (default: 2379, or one that is free)', parsePort)
    .option('--etcd <path>', 'the etcd program (default: the one on PATH)')
    .option('--root <prefix>', 'what `serve --root` was', 'holdfast')
    .option('--quota-bytes <n>', 'how large the database may get (default: 2 GiB)', parseBytes)
    .option('--above-token <token>', 'the highest token that anybody has seen, if it is known', parseToken)
    .option(
      '--wait <duration>',
      'how long nothing is granted (default: the longest TTL in it, at least 1m)',
      parseDuration,
    )
    .action((file: string, options: RestoreOptions) => clusterWork(options, tools => restore(tools, file, options)))
}

async function backUp(tools: Tools, file: string | undefined, { dir, keep }: BackupOptions): Promise<Done> {
  if (file !== undefined && dir !== undefined)
    throw new CommandFailure(exitCodes.usage, 'Say a file or --dir, not both.')
  if (file !== undefined && keep !== undefined)
    throw new CommandFailure(exitCodes.usage, '--keep is for files that are named by the time.')
  const folder = resolve(dir ?? tools.directory.backups)
  const where = file === undefined ? { into: folder } : { file }
  const backup = await tools.room.backUp({ ...tools, ...where })
  const size = tools.room.megabytes(backup.bytes)
  const text = `${backup.file}: ${size}, ${backup.keys} keys, revision ${backup.revision}, hash ${backup.hash}.`
  const dropped = keep === undefined ? [] : tools.room.dropOldBackups(tools, { made: backup.file, keep })
  const older = `\nRemoved ${dropped.length} that were older than the newest ${keep}.`
  return { text: dropped.length > 0 ? text + older : text, json: { ...backup, dropped } }
}

async function restore(tools: Tools, file: string, options: RestoreOptions): Promise<void> {
  const { room, directory } = tools
  const { members: count = 3, name, host, port, root, quotaBytes, aboveToken, wait } = options
  const restored = await room.restore({
    ...tools,
    file: resolve(file),
    count,
    host,
    root,
    etcd: room.findEtcd(options.etcd).path,
    ...(name === undefined ? {} : { name }),
    ...(port === undefined ? {} : { port }),
    ...(quotaBytes === undefined ? {} : { quotaBytes }),
    aboveToken: aboveToken ?? null,
    waitMs: wait ?? null,
  })
  const grants = restored.shards.reduce((sum, shard) => sum + shard.grants, 0)
  const until = new Date(restored.untilAt).toISOString()
  const text = [
    `Restored into ${directory.path}: ${restored.shards.length} shards, ${grants} grants.`,
    `Every token from now on is larger than ${restored.aboveToken}.`,
    `Nothing is granted for ${formatDuration(restored.waitMs)}, until ${until} (holdfast thaw '' ends that at once).`,
    `\n  holdfast cluster up --data ${options.data}\n`,
    'runs it; start the servers after that, with the line that it prints.',
  ]
  const { shards, aboveToken: tokensAbove, waitMs } = restored
  printDone(tools, options, {
    text: text.join('\n'),
    json: { directory: directory.path, shards: shards.length, grants, aboveToken: tokensAbove, waitMs, until },
  })
}
