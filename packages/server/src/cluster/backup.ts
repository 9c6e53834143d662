/**
 * Backups: what one member has, taken while all go on. A backup counts only when it has been opened: its sum is right, etcd's own program
 * reads all of its keys, and it is on the disk under its name.
 */
import { createHash } from 'node:crypto'
import { lstatSync, readdirSync, renameSync, statSync } from 'node:fs'
import { open } from 'node:fs/promises'
import { basename, dirname, join, resolve } from 'node:path'
import { noteBackup } from './backup-record.ts'
import type { ClusterDirectory } from './directory.ts'
import { ClusterFailure, messageOf } from './failure.ts'
import { explained, isThere, makeFolder, remove, syncDirectory } from './files.ts'
import type { Doors, Picture } from './picture.ts'
import { run } from './program-run.ts'
import { findEtcd, findEtcdutl } from './programs.ts'
import { type Progress, stopIfAsked, type Work } from './progress.ts'
import { restoredFile } from './restored.ts'

export type Backup = { file: string; bytes: number; keys: number; revision: number; hash: string }

/** At the end of what a member sends: the SHA-256 of what stands before it. */
const SUM_BYTES = 32
const FILE_MODE = 0o600
const ELSEWHERE = 'name another folder (`backup FILE`, `backup --dir`, `up --backups`)'
const NAME = /^holdfast-\d{8}T\d{9}Z\.db$/
const PARTIAL = /^holdfast-\d{8}T\d{9}Z\.db\.partial$/
/** Nobody has written to it for so long: it is not one that another process is making. */
const PARTIAL_MS_MAX = 3_600_000

/** `file`, or a name made of the time in the folder `into`. @throws ClusterFailure; then nothing is left under that name. */
export async function backUp(
  options: Work & { directory: ClusterDirectory; doors: Doors; file?: string; into?: string },
): Promise<Backup> {
  const { directory, doors, clock, signal, progress } = options
  const file = resolve(options.file ?? join(options.into ?? directory.backups, nameOf(clock.wallMs())))
  if (isThere(file)) throw new ClusterFailure(`${file} exists already.`)
  if (options.file === undefined) {
    makeFolder(dirname(file))
    dropPartials(dirname(file), options)
  }
  const etcd = directory.plan().members[0]?.etcd ?? findEtcd(undefined).path
  const etcdutl = findEtcdutl(etcd).path
  const source = sourceOf(await doors.look())
  const partial = `${file}.partial`
  try {
    await download({ ...options, url: source, file, partial })
    stopIfAsked(signal)
    progress.update('opening the backup …')
    const status = await inspect({ etcdutl, file: partial, signal })
    renameSync(partial, file)
    syncDirectory(dirname(file))
    noteBackup(directory, { last: { file, ...status, at: clock.wallMs() }, failure: null })
    return { file, ...status }
  } finally {
    remove(partial)
  }
}

/**
 * Of those that `backUp` has named, in the folder of the one that it has just `made`, the newest `keep` stay. A name of a time to come was given while
 * the clock was ahead: what bears it is older than what is made now. Returns the names that it has removed, and tells of what cannot be.
 */
export function dropOldBackups({ clock, progress }: Work, { made, keep }: { made: string; keep: number }): string[] {
  const folder = dirname(made)
  const now = nameOf(clock.wallMs())
  const names = readdirSync(folder).filter(name => NAME.test(name) && name !== basename(made))
  const ahead = names.filter(name => name > now).sort()
  const oldestFirst = [...ahead, ...names.filter(name => name <= now).sort()]
  return oldestFirst.slice(0, Math.max(0, oldestFirst.length + 1 - keep)).filter(name => {
    const path = join(folder, name)
    const what = 'is older than what is kept'
    return [path, restoredFile(path)].every(one => isRemoved(progress, { path: one, what }))
  })
}

/** What is left of those whose process was killed: they are as large as backups, and nobody counts them. */
function dropPartials(folder: string, { clock, progress }: Work): void {
  for (const name of readdirSync(folder).filter(one => PARTIAL.test(one))) {
    const path = join(folder, name)
    const found = lstatSync(path, { throwIfNoEntry: false })
    if (!found || clock.wallMs() - found.mtimeMs <= PARTIAL_MS_MAX) continue
    isRemoved(progress, { path, what: 'was left by a backup that was cut short' })
  }
}

/** What cannot be removed costs room, and is told; a backup is as good without that. */
function isRemoved(progress: Progress, { path, what }: { path: string; what: string }): boolean {
  try {
    remove(path)
    return true
  } catch (error) {
    progress.say(`${path} ${what}, and cannot be removed: ${messageOf(error)}`)
    return false
  }
}

/** What etcd's own program finds in it; it reads every key and checks the sum. @throws ClusterFailure */
export async function inspect(options: {
  etcdutl: string
  file: string
  signal: AbortSignal
}): Promise<Omit<Backup, 'file'>> {
  const { etcdutl, file, signal } = options
  if (!isThere(file)) throw new ClusterFailure(`There is no ${file}.`)
  const said = await run(etcdutl, ['snapshot', 'status', file, '--write-out=json'], signal)
  // What etcdutl prints; looked at right below.
  const { hash, revision, totalKey } = JSON.parse(said) as { hash: number; revision: number; totalKey: number }
  if (![hash, revision, totalKey].every(Number.isSafeInteger)) {
    throw new ClusterFailure(`${basename(file)} cannot be read as a backup: ${said}`)
  }
  return { bytes: statSync(file).size, keys: totalKey, revision, hash: hash.toString(16).padStart(8, '0') }
}

/** A member that is well, and not the leader if there is another: reading everything costs. */
function sourceOf({ members }: Picture): string {
  const well = members.filter(({ trouble, isLearner }) => trouble === null && !isLearner)
  const source = well.find(({ isLeader }) => !isLeader) ?? well[0]
  if (!source?.url) throw new ClusterFailure('No member is well enough to be backed up from.')
  return source.url
}

type Piece = { blob: Uint8Array; remainingBytes: bigint }
type Download = Work & { doors: Doors; url: string; file: string; partial: string }

/** On the disk when it returns. @throws ClusterFailure, also when the disk takes no more. */
async function download({ doors, url, file, partial, signal, progress }: Download): Promise<void> {
  const refused = (error: unknown) => {
    throw explained(error, { doing: 'written', path: file, elsewhere: ELSEWHERE })
  }
  const out = await open(partial, 'w', FILE_MODE).catch(refused)
  const sum = createHash('sha256')
  let tail = Buffer.alloc(0)
  let bytes = 0
  try {
    for await (const { blob, remainingBytes } of untilAsked(doors.at(url).snapshot(url), signal)) {
      bytes += blob.byteLength
      // The last bytes are the sum, and nobody says which piece is the last.
      const known = Buffer.concat([tail, blob])
      tail = known.subarray(Math.max(0, known.length - SUM_BYTES))
      sum.update(known.subarray(0, known.length - tail.length))
      // All of it, at the place where the last one ended.
      await out.writeFile(blob).catch(refused)
      progress.update(`reading from ${url}: ${share(bytes, Number(remainingBytes))} …`)
    }
    if (!sum.digest().equals(tail)) throw new ClusterFailure('The backup arrived damaged: its sum is wrong. Try again.')
    await out.sync().catch(refused)
  } finally {
    await out.close().catch(refused)
  }
}

/** A member may fall silent in the middle, and nobody says how long a piece may take. @throws ClusterStopped */
async function* untilAsked(pieces: AsyncIterable<Piece>, signal: AbortSignal): AsyncGenerator<Piece> {
  const { promise: asked, resolve: ask } = Promise.withResolvers<null>()
  const stop = () => ask(null)
  signal.addEventListener('abort', stop, { once: true })
  const iterator = pieces[Symbol.asyncIterator]()
  try {
    for (;;) {
      stopIfAsked(signal)
      const next = await Promise.race([iterator.next(), asked])
      if (next?.done) return
      if (next) yield next.value
    }
  } finally {
    signal.removeEventListener('abort', stop)
    // Not waited for: behind a piece that does not come it would not come either.
    iterator.return?.().catch(() => undefined)
  }
}

function share(bytes: number, remaining: number): string {
  const megabytes = (bytes / 1024 / 1024).toFixed(1)
  return `${megabytes} MiB, ${Math.floor((bytes / Math.max(1, bytes + remaining)) * 100)} %`
}

/** Their order is that of the times. */
function nameOf(wallMs: number): string {
  return `holdfast-${new Date(wallMs).toISOString().replace(/[-:.]/g, '')}.db`
}
