/**
 * A cluster from a backup. The backup is first put into a member that nobody can reach, and what must never be used as it is (epochs, servers, ids;
 * `shards/restoring.ts`) is set right there. What comes of it is put into the members of the new cluster. So there is no moment at which
 * a server could use the store before it is safe, and what is interrupted leaves nothing that could be started.
 */
import { lstatSync, readdirSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { openEtcd } from '../engine/etcd/etcd.ts'
import { SealMismatch } from '../engine/sealed/failures.ts'
import { NothingToRestore, type Restored, raiseAboveBackup, TokensExhausted } from '../shards/restoring.ts'
import { backUp, inspect } from './backup.ts'
import { type Beginning, beginCluster, newToken } from './begin.ts'
import { ClusterDirectory, clientUrlOf, peerUrlOf } from './directory.ts'
import { ClusterFailure, messageOf } from './failure.ts'
import { explained, makeAlone, makeFolder, moveFolder, remove } from './files.ts'
import { Doors } from './picture.ts'
import { run } from './program-run.ts'
import { findEtcdutl, numbersOf } from './programs.ts'
import { stopIfAsked, type Work, waitFor } from './progress.ts'
import { cannotNote, noteRestored, type RestoredBefore, restoredBefore, restoredFile } from './restored.ts'
import { Runner } from './running.ts'
import { openRecords } from './store.ts'

export type RestoreOptions = Work &
  Omit<Beginning, 'token' | 'root'> & { file: string; root: string; aboveToken: number | null; waitMs: number | null }

/** Far more than has been written since any backup: watchers of old revisions must not meet them again (etcd-io/etcd#16028). */
const REVISIONS_SKIPPED = 1_000_000_000
const READY_MS_MAX = 60_000
const BENCH = 'bench'

/** @throws ClusterFailure; then the directory is as it was. */
export async function restore(options: RestoreOptions): Promise<Restored> {
  const { directory, file, etcd, signal, progress } = options
  refuseUnlessEmpty(directory)
  const etcdutl = findEtcdutl(etcd)
  const { keys, revision } = await inspect({ etcdutl: etcdutl.path, file, signal })
  progress.say(`the backup has ${keys} keys at revision ${revision}`)
  const before = timesBefore(options)
  const scratch = `${directory.path}.restoring`
  makeFolder(dirname(directory.path))
  if (!makeAlone(scratch)) {
    throw new ClusterFailure(
      `There is ${scratch}: another restore into ${directory.path} runs, or one was cut short. If none runs, remove it and do this again.`,
    )
  }
  try {
    const bench = new ClusterDirectory(join(scratch, BENCH))
    await beginCluster({ ...options, directory: bench, name: BENCH, count: 1, host: '127.0.0.1', port: 0 })
    await fill(bench, { file, etcdutl, signal, isFirst: true })
    const repaired = join(scratch, 'repaired.db')
    const restored = await raise({ ...options, bench, repaired, aboveEpoch: before.epoch })
    const next = new ClusterDirectory(join(scratch, 'cluster'))
    await beginCluster({ ...options, directory: next, token: newToken(options) })
    progress.update('making the data of the new members …')
    await fill(next, { file: repaired, etcdutl, signal, isFirst: false })
    stopIfAsked(signal)
    // Before there is anything that could be started.
    note(options, { before, epoch: Math.max(...restored.shards.map(({ epoch }) => epoch)) })
    refuseUnlessEmpty(directory)
    moveFolder(next.path, directory.path)
    return restored
  } finally {
    remove(scratch)
  }
}

/** @throws ClusterFailure when there is anything: it may be the only one of its kind. */
function refuseUnlessEmpty(directory: ClusterDirectory): void {
  const { path } = directory
  if (directory.exists) {
    throw new ClusterFailure(
      `There is a cluster in ${path}. Restore into a new directory; the old one is your last copy of what came after the backup.`,
    )
  }
  if (isMissingOrEmpty(path)) return
  throw new ClusterFailure(
    `There is something in ${path} already, and it stays as it is. Restore into a new directory, or an empty one (--data).`,
  )
}

/** @throws ClusterFailure when that cannot be told, or when it is no folder. */
function isMissingOrEmpty(path: string): boolean {
  try {
    // What a link leads to would not be what takes its place.
    const found = lstatSync(path, { throwIfNoEntry: false })
    if (!found) return true
    if (!found.isDirectory()) throw new ClusterFailure(`${path} is no folder. Restore into a new one (--data).`)
    return readdirSync(path).length === 0
  } catch (error) {
    throw explained(error, { doing: 'read', path })
  }
}

/** @throws ClusterFailure when that cannot be told, unless the highest token is said: then nothing depends on it. */
function timesBefore({ file, aboveToken, progress }: RestoreOptions): RestoredBefore {
  try {
    const before = restoredBefore(file)
    if (before.times > 0) progress.say(`it has been restored before (${before.times}): tokens go on above those, too`)
    return before
  } catch (error) {
    if (aboveToken === null) throw cannotNote(error)
    return { times: 0, epoch: 0 }
  }
}

/** @throws ClusterFailure when it cannot be, unless the highest token is said: then whoever restores next has to say it, too. */
function note({ file, aboveToken, progress }: RestoreOptions, noted: { before: RestoredBefore; epoch: number }): void {
  try {
    noteRestored(file, noted)
  } catch (error) {
    if (aboveToken === null) throw cannotNote(error)
    progress.say(
      `${messageOf(error)} Who restores this backup again must say --above-token: ${restoredFile(file)} does not tell of this time.`,
    )
  }
}

type Filling = { file: string; etcdutl: { path: string; version: string }; signal: AbortSignal; isFirst: boolean }

/** The data directory of every member, from the same file. */
async function fill(directory: ClusterDirectory, { file, etcdutl, signal, isFirst }: Filling): Promise<void> {
  const { token, members } = directory.plan()
  for (const plan of members) {
    const args = [
      'snapshot',
      'restore',
      file,
      `--data-dir=${directory.file(plan.name, 'data')}`,
      `--name=${plan.name}`,
      `--initial-cluster=${plan.start.initialCluster}`,
      `--initial-cluster-token=${token}`,
      `--initial-advertise-peer-urls=${peerUrlOf(plan)}`,
    ]
    if (isFirst && canBumpRevision(etcdutl.version))
      args.push(`--bump-revision=${REVISIONS_SKIPPED}`, '--mark-compacted')
    await run(etcdutl.path, args, signal)
  }
}

/** Since 3.5.10; what follows from its absence is only that watchers of old revisions are not told, and ours need no telling. */
function canBumpRevision(version: string): boolean {
  const [major, minor, patch] = numbersOf(version)
  return major > 3 || minor > 5 || patch >= 10
}

type Raising = RestoreOptions & { bench: ClusterDirectory; repaired: string; aboveEpoch: number }

async function raise(options: Raising): Promise<Restored> {
  const { bench, repaired, clock, progress } = options
  const runner = new Runner({ directory: bench, clock, said: text => progress.say(text) })
  const doors = new Doors(bench, clock)
  try {
    await runner.start()
    await waitFor(options, { what: 'opening the backup', timeoutMs: READY_MS_MAX }, async () =>
      (await doors.look()).leader ? true : null,
    )
    progress.update('raising what may have been given out since …')
    const urls = bench.plan().members.map(clientUrlOf)
    const store = await openEtcd({ urls, clock, tls: bench.tls, takesAnyVersion: true })
    const engine = await openRecords(store, options)
    try {
      const restored = await raiseAboveBackup({ ...options, engine })
      await backUp({ ...options, directory: bench, doors, file: repaired })
      return restored
    } finally {
      await engine.close()
    }
  } catch (error) {
    const isRefusal = [NothingToRestore, TokensExhausted, SealMismatch].some(kind => error instanceof kind)
    if (isRefusal) throw new ClusterFailure(messageOf(error))
    throw error
  } finally {
    doors.close()
    await runner.close()
  }
}
