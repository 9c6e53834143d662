/**
 * LMDB as an engine: one file on one disk, where acknowledged means synced.
 *
 * The problem: compare and write must be one step, also when a second process has the same directory open, and the sync (a
 * fraction of a millisecond on a good disk, tens of them on a bad one) must not block the event loop. LMDB's synchronous
 * transactions block it; the library's asynchronous ones call back into JavaScript from the writer thread, and were seen to hang.
 *
 * So a commit is optimistic. The whole store has one revision, kept as the version of the key `counter`. A commit reads what it
 * checks, computes its writes, and hands them to the writer thread under a single condition: that `counter` is still at the
 * revision it read. If it is, nothing at all has changed since, so the checks still hold; if not, another process has
 * written, and it starts over. The writer thread begins, compares, writes, commits and syncs without JavaScript.
 *
 * The first failed commit is the last: after a failed sync nobody knows what the disk holds, so all that follows throws `EngineFatal`.
 */

import { stat, statfs } from 'node:fs/promises'
import { join } from 'node:path'
import { open, type RootDatabase } from 'lmdb'
import {
  type CommitRequest,
  type CommitResult,
  type Engine,
  EngineCompacted,
  EngineFatal,
  EngineRefusal,
  type EngineSize,
  type KeyValue,
  type Listing,
  type ListOptions,
  type Write,
} from '../engine.ts'
import { refuseCommit, refuseKey, refuseListing } from '../request.ts'
import { nameWhole, prepareDirectory, secureFiles } from './directory.ts'

type Request = CommitRequest
type Database = RootDatabase<Buffer, Buffer>

/** Behind all keys of ours, which begin with the byte 1: so it lies on the page that the end of the log is written to anyway. */
const counterKey = Buffer.from([2])
/** The library takes no empty value; what counts is the version. */
const counterValue = Buffer.from([1])
/** As many as other processes could fit between a read and the commit; one owner at a time means hardly ever one. */
const ATTEMPTS_MAX = 100

/** Opens the store in `path`, which is made if it is not there. Throws on a network file system. */
export async function openLmdb({ path }: { path: string }): Promise<Engine> {
  await prepareDirectory(path)
  await nameWhole(path, create)
  const database = openDatabase(path)
  await secureFiles(path)
  // A process that was killed leaves its reader behind, and with it the pages that it pinned.
  database.readerCheck()
  // Fails, as it should, when another process has been quicker.
  await database.ifNoExists(counterKey, () => {
    void database.put(counterKey, counterValue, 1)
  })
  return new Lmdb(database, path)
}

async function create(path: string): Promise<void> {
  const database = openDatabase(path)
  await database.put(counterKey, counterValue, 1)
  await database.close()
}

function openDatabase(path: string): Database {
  return open<Buffer, Buffer>({
    path,
    // A name with a dot would be taken for a file.
    noSubdir: false,
    encoding: 'binary',
    keyEncoding: 'binary',
    useVersions: true,
    // By default the library shows a commit some 300 ms before it has been synced.
    overlappingSync: false,
    // The shard batches by itself; whatever is handed over is to start at once.
    eventTurnBatching: false,
    commitDelay: 0,
  } as Parameters<typeof open>[0]) as Database
}

const PAGE_BYTES = 4_096

type Tree = { treeBranchPageCount: number; treeLeafPageCount: number; overflowPages: number }

/** The pages of the data and of the list of free ones; the library's types do not know what it returns. */
function livePages(stats: unknown): number {
  const { root, free } = stats as { root: Tree; free: Tree } // what lmdb 3 returns for the root database
  let pages = 0
  for (const tree of [root, free]) pages += tree.treeBranchPageCount + tree.treeLeafPageCount + tree.overflowPages
  return pages
}

/** A scan that has read more than this leaves its pages mapped, and counted as this process's memory, until the file is opened anew. */
const SCANNED_BYTES_MAX = 64 * 1024 * 1024

class Lmdb implements Engine {
  readonly name = 'lmdb'
  #database: Database
  #scannedBytes = 0
  /** Readers wait for it: while the file is being opened anew there is nothing to read from. */
  #opened: Promise<unknown> = Promise.resolve()
  readonly #path: string
  /** One commit at a time: two would both read the same revision, and one would start over. */
  #last: Promise<unknown> = Promise.resolve()
  #fatal: EngineFatal | null = null
  #isClosed = false
  readonly #watchers = new Set<(request: Request) => void>()

  constructor(database: Database, path: string) {
    this.#database = database
    this.#path = path
  }

  async read(key: string, { atLeast = 0 }: { atLeast?: number } = {}): Promise<KeyValue | null> {
    refuseKey(key)
    await this.#opened
    this.#assertUsable()
    this.#database.resetReadTxn()
    refuseOtherTime(this.#revision(), { atLeast })
    return this.#pair(key)
  }

  async list(options: ListOptions): Promise<Listing> {
    refuseListing(options)
    const { prefix, limit, after } = options
    await this.#opened
    this.#assertUsable()
    this.#database.resetReadTxn()
    refuseOtherTime(this.#revision(), options)
    const isBeyond = after !== undefined && Buffer.compare(encodeKey(after), encodeKey(prefix)) >= 0
    const range = this.#database.getRange({
      start: encodeKey(isBeyond ? after : prefix),
      ...(isBeyond ? { exclusiveStart: true } : {}),
      end: behindPrefix(prefix),
      limit: limit + 1,
      versions: true,
    })
    const pairs: KeyValue[] = []
    // The iterator copies as it goes and ends here, so no reader pins pages beyond this call.
    for (const { key, value, version } of range) pairs.push({ key: decodeKey(key), value, modRevision: version ?? 0 })
    const more = pairs.length > limit
    if (more) pairs.pop()
    const revision = this.#revision()
    for (const { value } of pairs) this.#scannedBytes += value.length
    if (!more && this.#scannedBytes > SCANNED_BYTES_MAX) await this.#reopen()
    return { pairs, revision, more }
  }

  commit(request: Request): Promise<CommitResult> {
    const result = this.#last.then(
      () => this.#commit(request),
      () => this.#commit(request),
    )
    this.#last = result
    return result
  }

  async *watch({ prefix, signal }: { prefix: string; signal: AbortSignal }): AsyncIterable<void> {
    let news = false
    let wake: (() => void) | null = null
    const tell = () => {
      wake?.()
      wake = null
    }
    const onCommit = ({ writes }: Request) => {
      if (!writes.some(write => ('from' in write ? write.to > prefix : write.key.startsWith(prefix)))) return
      news = true
      tell()
    }
    this.#watchers.add(onCommit)
    signal.addEventListener('abort', tell)
    try {
      while (!signal.aborted && !this.#isClosed) {
        if (news) {
          news = false
          yield
        } else await new Promise<void>(resolve => (wake = resolve))
      }
    } finally {
      this.#watchers.delete(onCommit)
      signal.removeEventListener('abort', tell)
    }
  }

  async size(): Promise<EngineSize> {
    const [file, disk] = await Promise.all([stat(join(this.#path, 'data.mdb')), statfs(this.#path)])
    this.#assertUsable()
    // Free pages are written to before the file grows, so they count as room, as the rest of the disk does.
    const liveBytes = livePages(this.#database.getStats()) * PAGE_BYTES
    return { usedBytes: liveBytes, liveBytes, quotaBytes: file.size + disk.bavail * disk.bsize }
  }

  async close(): Promise<void> {
    if (this.#isClosed) return
    this.#isClosed = true
    // What it came to has been told to the one who asked.
    await this.#last.catch(() => undefined)
    for (const watcher of this.#watchers)
      watcher({ checks: [], writes: [{ from: '', to: '\u{10ffff}', delete: true }] })
    await this.#database.close()
  }

  async #commit(request: Request): Promise<CommitResult> {
    refuseCommit(request)
    for (let attempt = 0; attempt < ATTEMPTS_MAX; attempt++) {
      this.#assertUsable()
      this.#database.resetReadTxn()
      const revision = this.#revision()
      const found = request.checks.map(check => this.#pair(check.key))
      const passes = request.checks.every((check, index) => (found[index]?.modRevision ?? 0) === check.modRevision)
      if (!passes) return { ok: false, revision, found }
      if (request.writes.length === 0) return { ok: true, revision }
      if (await this.#writeAt(revision, request.writes)) {
        for (const watcher of this.#watchers) watcher(request)
        return { ok: true, revision: revision + 1 }
      }
    }
    throw new Error('other processes keep writing to the data directory')
  }

  /** Whether the store was still at `revision`; then the writes are on disk. */
  async #writeAt(revision: number, writes: Write[]): Promise<boolean> {
    const database = this.#database
    const next = revision + 1
    // Found before the condition is opened: an iterator must not run between the instructions of a block.
    const removed = writes.flatMap(write => ('from' in write ? this.#keysOf(write) : []))
    try {
      return await database.ifVersion(counterKey, revision, () => {
        for (const key of removed) void database.remove(key)
        for (const write of writes) {
          if ('value' in write) void database.put(encodeKey(write.key), toBuffer(write.value), next)
          else if ('key' in write) void database.remove(encodeKey(write.key))
        }
        void database.put(counterKey, counterValue, next)
      })
    } catch (error) {
      throw await this.#fail(error)
    }
  }

  #keysOf(range: { from: string; to: string }): Buffer[] {
    return [...this.#database.getKeys({ start: encodeKey(range.from), end: encodeKey(range.to) })]
  }

  async #fail(error: unknown): Promise<EngineFatal> {
    // The library tells the reason in a second promise, whose rejection nobody else would handle.
    const reason = error instanceof Error && 'commitError' in error ? error.commitError : null
    const cause = reason ? await Promise.resolve(reason).catch((rejected: unknown) => rejected) : error
    const text = cause instanceof Error ? cause.message : String(cause)
    this.#fatal ??= new EngineFatal(`The store could not be written (${text}); what the disk holds is not known.`, {
      cause,
    })
    return this.#fatal
  }

  #revision(): number {
    const entry = this.#database.getEntry(counterKey)
    if (entry?.version === undefined) throw new EngineFatal('the store has lost its revision')
    return entry.version
  }

  #pair(key: string): KeyValue | null {
    const entry = this.#database.getEntry(encodeKey(key))
    return entry ? { key, value: entry.value, modRevision: entry.version ?? 0 } : null
  }

  /** Between two commits: lets go of the pages that a long scan has mapped. */
  #reopen(): Promise<void> {
    this.#scannedBytes = 0
    const reopened = this.#last.then(async () => {
      if (this.#fatal || this.#isClosed) return
      await this.#database.close()
      this.#database = openDatabase(this.#path)
    })
    this.#last = reopened.catch(error => this.#fail(error))
    this.#opened = this.#last
    return reopened
  }

  #assertUsable(): void {
    if (this.#fatal) throw this.#fatal
    if (this.#isClosed) throw new EngineRefusal('bad_request', 'the engine has been closed')
  }
}

function encodeKey(key: string): Buffer {
  return Buffer.from(`\u0001${key}`)
}

function decodeKey(key: Buffer): string {
  return key.toString('utf8', 1)
}

/** The first key behind all that start with `prefix`. UTF-8 has no byte 255, so the last byte can be raised. */
function behindPrefix(prefix: string): Buffer {
  const behind = encodeKey(prefix)
  behind[behind.length - 1]! += 1
  return behind
}

function toBuffer(value: Uint8Array): Buffer {
  return Buffer.isBuffer(value) ? value : Buffer.from(value.buffer, value.byteOffset, value.byteLength)
}

/** Only the present can be read: to keep a past would pin its pages. */
function refuseOtherTime(present: number, { atLeast = 0, revision }: { atLeast?: number; revision?: number }): void {
  if (revision !== undefined && revision < present) throw new EngineCompacted(`revision ${revision} is not kept`)
  const wanted = Math.max(atLeast, revision ?? 0)
  if (wanted > present) throw new Error(`revision ${wanted} has not been reached: the store is at ${present}`)
}
