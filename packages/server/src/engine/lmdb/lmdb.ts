/**
 * The embedded store: one process, one disk, where acknowledged means synced.
 *
 * LMDB keeps what there is, and a journal makes it durable (decision 0120). The problem with LMDB alone is that each of its commits visits the disk twice and
 * copies pages, and that the record of a lock is often gone again before anybody reads it. So a commit is checked here against what is
 * in memory and below it in LMDB, written to the journal by one write, and acknowledged. What has been committed since stands in a layer
 * above LMDB until the journal is full; then it goes there in one transaction, without what has been deleted meanwhile.
 *
 * All of this rests on being alone: `Holder` has the kernel see to it. Commits that come while one is being written share the next write.
 *
 * The first failed write is the last: after it nobody knows what the disk holds, so all that follows throws `EngineFatal`.
 */

import { statfs } from 'node:fs/promises'
import { Holder } from '../../process-lock/holder.ts'
import {
  type Check,
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
} from '../engine.ts'
import { compareKeys, refuseCommit, refuseKey, refuseListing } from '../request.ts'
import type { Served } from '../served/serve.ts'
import { prepareDirectory, secureFiles } from './directory.ts'
import { JOURNAL_BYTES, JOURNAL_BYTES_MIN, Journal } from './journal.ts'
import { type Held, Layer, rangesOf, sortKeys, wantedBy, withinRange } from './overlay.ts'
import { type Commits, type OwnWrite, recordBytesMax } from './record.ts'
import { Tree } from './tree.ts'
import { Watchers } from './watchers.ts'

export type LmdbOptions = {
  path: string
  /** Of each of the two files; for tests that want it to be full soon. At least `JOURNAL_BYTES_MIN`. */
  journalBytes?: number
  /** After scans of so many bytes the file is opened anew; for tests that want that to happen often. */
  scannedBytesMax?: number
}

/** An embedded store that may be served to other processes. */
export type LmdbEngine = Engine & {
  /** Other processes that want the store are told that they can ask for it there; it is closed before the store is. */
  serveAt(served: Served): Promise<void>
  /** Where a process before this one did, and may have left something. */
  readonly formerSocket: string | null
}

/** Opens the store in `path`, which is made if it is not there. @throws StoreInUse; and on a network file system. */
export async function openLmdb({ path, journalBytes = JOURNAL_BYTES, ...options }: LmdbOptions): Promise<LmdbEngine> {
  await prepareDirectory(path)
  const holder = new Holder(path)
  const opened: { close(): Promise<void> }[] = [{ close: async () => holder.release() }]
  try {
    const tree = await Tree.open(path)
    opened.unshift(tree)
    const bytes = Math.max(journalBytes, JOURNAL_BYTES_MIN)
    const journal = await Journal.open(path, { bytes, salt: tree.salt })
    opened.unshift(journal)
    await secureFiles(path)
    const engine = new Lmdb({ tree, journal, holder, path, ...options })
    await engine.recover()
    return engine
  } catch (error) {
    for (const one of opened) await one.close()
    throw error
  }
}

/** A scan that has read more than this leaves its pages mapped, and counted as this process's memory, until the file is opened anew. */
const SCANNED_BYTES_MAX = 64 * 1024 * 1024
/** Of commits that share one write, if there are several: they fit into a journal. */
const GROUP_BYTES_MAX = JOURNAL_BYTES_MIN / 2

type Waiting = {
  checks: readonly Check[]
  writes: readonly OwnWrite[]
  resolve(result: CommitResult): void
  reject(error: unknown): void
}

type Parts = Pick<LmdbOptions, 'path' | 'scannedBytesMax'> & { tree: Tree; journal: Journal; holder: Holder }

class Lmdb implements LmdbEngine {
  readonly name = 'lmdb'
  readonly #path: string
  readonly #holder: Holder
  readonly #journal: Journal
  readonly #tree: Tree
  /** Of the last commit that is durable. */
  #revision: number
  /** What has been committed since the present journal was begun. */
  #recent = new Layer()
  /** What is on its way to LMDB. */
  #settling: Layer | null = null
  /** Resolves when LMDB has all that the other journal holds. Never rejects: what went wrong is in `#fatal`. */
  #settled: Promise<void> = Promise.resolve()
  #queue: Waiting[] = []
  #served: Served | null = null
  #isWorking = false
  /** Resolves when what is being committed has been. */
  #worked: Promise<void> = Promise.resolve()
  /** Resolves when the group that is being committed has been: LMDB is read for it until then. */
  #committed: Promise<void> = Promise.resolve()
  #fatal: EngineFatal | null = null
  #isClosed = false
  readonly #scannedBytesMax: number
  #scannedBytes = 0
  /** Readers wait for it: while the file is being opened anew there is nothing to read from. */
  #opened: Promise<unknown> | null = null
  readonly #watchers = new Watchers()

  constructor({ tree, journal, holder, path, scannedBytesMax = SCANNED_BYTES_MAX }: Parts) {
    this.#scannedBytesMax = scannedBytesMax
    this.#tree = tree
    this.#journal = journal
    this.#holder = holder
    this.#path = path
    this.#revision = this.#tree.revision
  }

  /** Takes over what a process that ended in the middle has left in its journals. */
  async recover(): Promise<void> {
    for (const { revision, commits } of await this.#journal.recordsAfter(this.#revision))
      for (const [index, writes] of commits.entries())
        if (revision + index > this.#revision) this.#apply(this.#recent, writes, ++this.#revision)
    if (this.#revision !== this.#tree.revision) this.#settle()
    await this.#settled
    this.#assertUsable()
  }

  get formerSocket(): string | null {
    return this.#holder.formerSocket
  }

  async serveAt(served: Served): Promise<void> {
    if (this.#isClosed) return served.close()
    this.#served = served
    this.#holder.note(served.path)
  }

  async read(key: string, { atLeast = 0 }: { atLeast?: number } = {}): Promise<KeyValue | null> {
    refuseKey(key)
    while (this.#opened) await this.#opened
    this.#assertUsable()
    refuseOtherTime(this.#revision, { atLeast })
    this.#tree.refresh()
    return this.#pair(key)
  }

  async list(options: ListOptions): Promise<Listing> {
    refuseListing(options)
    while (this.#opened) await this.#opened
    this.#assertUsable()
    refuseOtherTime(this.#revision, options)
    this.#tree.refresh()
    const pairs: KeyValue[] = []
    let more = false
    // It copies as it goes and ends here, so no reader pins pages beyond this call.
    for (const pair of this.#pairsOf(options)) {
      more = pairs.length === options.limit
      if (more) break
      pairs.push(pair)
    }
    const revision = this.#revision
    for (const { value } of pairs) this.#scannedBytes += value.length
    if (!more && this.#scannedBytes > this.#scannedBytesMax) await this.#reopen()
    return { pairs, revision, more }
  }

  commit(request: CommitRequest): Promise<CommitResult> {
    return new Promise((resolve, reject) => {
      refuseCommit(request)
      this.#assertUsable()
      // Whoever asks may go on with its bytes.
      const writes = request.writes.map(write =>
        'value' in write ? { ...write, value: Buffer.from(write.value) } : write,
      )
      this.#queue.push({ checks: request.checks, writes, resolve, reject })
      if (!this.#isWorking) this.#worked = this.#work()
    })
  }

  watch(options: { prefix: string; signal: AbortSignal }): AsyncIterable<void> {
    return this.#watchers.watch(options)
  }

  async size(): Promise<EngineSize> {
    while (this.#opened) await this.#opened
    this.#assertUsable()
    const [{ liveBytes, fileBytes }, disk] = await Promise.all([this.#tree.size(), statfs(this.#path)])
    // Free pages are written to before the file grows, so they count as room, as the rest of the disk does.
    return { usedBytes: liveBytes, liveBytes, quotaBytes: fileBytes + disk.bavail * disk.bsize }
  }

  async close(): Promise<void> {
    if (this.#isClosed) return
    this.#isClosed = true
    await this.#served?.close()
    // What it came to has been told to those who asked.
    await this.#worked
    await this.#opened
    await this.#settled
    if (!this.#fatal && this.#revision !== this.#tree.revision) this.#settle()
    await this.#settled
    this.#watchers.end()
    await this.#tree.close()
    await this.#journal.close()
    this.#holder.release()
  }

  /** Commits one group after another while there are any. Never rejects. */
  async #work(): Promise<void> {
    this.#isWorking = true
    while (this.#queue.length > 0) {
      while (this.#opened) await this.#opened
      this.#committed = this.#commitGroup(this.#takeGroup())
      await this.#committed
    }
    this.#isWorking = false
  }

  async #commitGroup(group: readonly Waiting[]): Promise<void> {
    try {
      if (this.#fatal) throw this.#fatal
      const results = this.#judge(group)
      const passed = group.filter(({ writes }, index) => results[index]?.ok && writes.length > 0)
      if (passed.length > 0) await this.#write(passed.map(({ writes }) => writes))
      for (const { writes } of passed) this.#watchers.tell(writes)
      group.forEach(({ resolve }, index) => void resolve(results[index]!))
    } catch (error) {
      const fatal = this.#fail(error)
      for (const { reject } of group) reject(fatal)
    }
  }

  /** What can be written at once. */
  #takeGroup(): Waiting[] {
    let bytes = 0
    const end = this.#queue.findIndex(({ writes }, index) => {
      bytes += recordBytesMax([writes])
      return index > 0 && bytes > GROUP_BYTES_MAX
    })
    return this.#queue.splice(0, end < 0 ? this.#queue.length : end)
  }

  /** Whether each passes after those before it. */
  #judge(group: readonly Waiting[]): CommitResult[] {
    const staged = new Layer()
    let revision = this.#revision
    this.#tree.refresh()
    return group.map(({ checks, writes }) => {
      const passes = checks.every(({ key, modRevision }) => this.#revisionOf(key, staged) === modRevision)
      if (!passes) return { ok: false, revision, found: checks.map(({ key }) => this.#pair(key, staged)) }
      // Alone, it has nobody who would have to see what it does.
      if (writes.length > 0) revision++
      if (group.length > 1) this.#apply(staged, writes, revision)
      return { ok: true, revision }
    })
  }

  /** Resolves when all of it is durable and can be read. */
  async #write(commits: Commits): Promise<void> {
    if (!this.#journal.hasRoom(commits)) {
      // The other journal is free when LMDB has what it holds.
      await this.#settled
      if (this.#fatal) throw this.#fatal
      this.#settle()
    }
    await this.#journal.append(this.#revision + 1, commits)
    for (const writes of commits) this.#apply(this.#recent, writes, ++this.#revision)
  }

  #apply(layer: Layer, writes: readonly OwnWrite[], revision: number): void {
    for (const range of rangesOf(writes)) for (const key of this.#keysWithin(range, layer)) this.#delete(layer, key)
    for (const write of writes) {
      if ('value' in write) layer.put(write.key, write.value, revision)
      else if ('key' in write) this.#delete(layer, write.key)
    }
  }

  #delete(layer: Layer, key: string): void {
    const isAbove = layer !== this.#recent && this.#recent.has(key)
    const isBelow = isAbove || this.#settling?.has(key) || this.#tree.has(key)
    layer.delete(key, { isBelow })
  }

  #keysWithin({ from, to }: { from: string; to: string }, newest: Layer): Set<string> {
    const isWithin = withinRange(from, to)
    const keys = new Set(newest.keysWithin(isWithin))
    for (const layer of [this.#recent, this.#settling])
      for (const key of layer?.keysWithin(isWithin) ?? []) keys.add(key)
    for (const key of this.#tree.keysWithin({ from, to })) keys.add(key)
    return keys
  }

  /** Begins the other journal, and has LMDB take what stands above it. */
  #settle(): void {
    const layer = this.#recent
    this.#settling = layer
    this.#recent = new Layer()
    this.#journal.turn()
    this.#settled = this.#tree.store(layer, this.#revision).then(
      () => {
        this.#settling = null
      },
      error => void this.#fail(error),
    )
  }

  #fail(error: unknown): EngineFatal {
    // The library tells the reason in a second promise, whose rejection nobody else would handle.
    const reason = error instanceof Error && 'commitError' in error ? error.commitError : null
    if (reason instanceof Promise) reason.catch(() => undefined)
    const text = error instanceof Error ? error.message : String(error)
    if (error instanceof EngineFatal) this.#fatal ??= error
    this.#fatal ??= new EngineFatal(`The store could not be written (${text}); what the disk holds is not known.`, {
      cause: error,
    })
    return this.#fatal
  }

  #pair(key: string, staged: Layer | null = null): KeyValue | null {
    const held = this.#held(key, staged)
    if (held !== undefined) return held && { key, value: Buffer.from(held.value), modRevision: held.modRevision }
    return this.#tree.get(key)
  }

  #revisionOf(key: string, staged: Layer): number {
    const held = this.#held(key, staged)
    return (held === undefined ? this.#tree.get(key) : held)?.modRevision ?? 0
  }

  /** undefined: what LMDB has counts. */
  #held(key: string, staged: Layer | null = null): Held | undefined {
    for (const layer of [staged, this.#recent, this.#settling]) {
      const held = layer?.get(key)
      if (held !== undefined) return held
    }
    return undefined
  }

  /** In order, from both. */
  *#pairsOf({ prefix, after }: ListOptions): Generator<KeyValue> {
    const isWanted = wantedBy({ prefix, after })
    const above = new Set(this.#recent.keysWithin(isWanted))
    for (const key of this.#settling?.keysWithin(isWanted) ?? []) above.add(key)
    const waiting = sortKeys([...above])
    let next = 0
    for (const stored of this.#tree.pairs({ prefix, after })) {
      for (; next < waiting.length && compareKeys(waiting[next]!, stored.key) <= 0; next++) {
        const pair = this.#pair(waiting[next]!)
        if (pair) yield pair
      }
      if (this.#held(stored.key) === undefined) yield stored
    }
    for (; next < waiting.length; next++) {
      const pair = this.#pair(waiting[next]!)
      if (pair) yield pair
    }
  }

  /** Lets go of the pages that a long scan has mapped. */
  #reopen(): Promise<unknown> {
    this.#scannedBytes = 0
    const reopened = async () => {
      await this.#committed
      await this.#settled
      if (this.#fatal || this.#isClosed) return
      await this.#tree.reopen()
    }
    this.#opened ??= reopened()
      .catch(error => this.#fail(error))
      .finally(() => {
        this.#opened = null
      })
    return this.#opened
  }

  #assertUsable(): void {
    if (this.#fatal) throw this.#fatal
    if (this.#isClosed) throw new EngineRefusal('bad_request', 'the engine has been closed')
  }
}

/** Only the present can be read: to keep a past would pin its pages. */
function refuseOtherTime(present: number, { atLeast = 0, revision }: { atLeast?: number; revision?: number }): void {
  if (revision !== undefined && revision < present) throw new EngineCompacted(`revision ${revision} is not kept`)
  const wanted = Math.max(atLeast, revision ?? 0)
  if (wanted > present) throw new Error(`revision ${wanted} has not been reached: the store is at ${present}`)
}
