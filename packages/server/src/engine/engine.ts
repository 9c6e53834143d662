/**
 * What Holdfast asks of a store, and nothing more: strict-serialisable, durable compare-and-swap.
 * `etcd`, `lmdb` and `memory` implement it; `conformance.ts` is the contract as tests.
 */

/** The key must be at exactly this revision; 0: the key must be absent. */
export type Check = { key: string; modRevision: number }

export type Write =
  | { key: string; value: Uint8Array }
  | { key: string; delete: true }
  /** Deletes `from ≤ key < to`. */
  | { from: string; to: string; delete: true }

export type CommitRequest = {
  checks: Check[]
  writes: Write[]
  /** What a seal has added to it (`sealed/`): not counted against the limits, which are those of whoever commits. */
  sealing?: { bytes: number; operations: number }
}

export type KeyValue = { key: string; value: Uint8Array; modRevision: number }

export type Listing = {
  pairs: KeyValue[]
  /** The revision at which the listing was read. */
  revision: number
  /** True if keys of the prefix lie beyond the last pair. */
  more: boolean
}

export type CommitResult =
  | { ok: true; revision: number }
  /** Nothing was written. `found` has, for each check in order, what its key holds now (null: absent). */
  | { ok: false; revision: number; found: (KeyValue | null)[] }

export type EngineSize = {
  /** What counts against the quota: near it, commits begin to be refused. */
  usedBytes: number
  /** What is stored now. The rest of `usedBytes` is free pages: on etcd they count until a defragmentation, elsewhere they are not in it. */
  liveBytes: number
  quotaBytes: number | null
}

export type ListOptions = {
  prefix: string
  limit: number
  /** Only keys beyond this one. */
  after?: string
  /** The answer is at least this new, or there is none. */
  atLeast?: number
  /** The store exactly as it was after the commit of this revision; `EngineCompacted` when that is no longer kept. */
  revision?: number
}

export interface Engine {
  readonly name: 'memory' | 'lmdb' | 'etcd'
  /** Values are stored sealed (`sealed/`). */
  readonly isSealed?: true
  /**
   * A read is a hint: nothing may be decided on it that a later commit does not check. With `atLeast`, it is no older than that
   * revision: what a takeover's commit returned makes a read that follows from it complete (SAFETY P4).
   */
  read(key: string, options?: { atLeast?: number }): Promise<KeyValue | null>
  /**
   * Pairs whose key starts with `prefix`, in byte order. At most `limit`, which is 1 to 10,000. Pages of one listing are separate
   * reads: who needs them to fit together gives the later ones the `revision` of the first.
   */
  list(options: ListOptions): Promise<Listing>
  /**
   * All or nothing; durable when it resolves. When it throws, the outcome is **unknown** unless the error is an
   * `EngineRefusal`. Revisions only grow; every write of one commit gets the commit's revision.
   */
  commit(request: CommitRequest): Promise<CommitResult>
  /** A hint that something under the prefix changed; may lie, repeat, be late. Ends when the signal aborts. */
  watch(options: { prefix: string; signal: AbortSignal }): AsyncIterable<void>
  size(): Promise<EngineSize>
  /**
   * Lets the store forget what has been superseded, and give space back if it must be told to. For one server at a time, every half minute
   * or so; it may take minutes. What it gives up can no longer be listed by revision.
   */
  tend?(): Promise<void>
  /** Resolves when nothing more will touch the store. */
  close(): Promise<void>
}

/** What only looks needs no more than this. */
export type EngineReads = Pick<Engine, 'read' | 'list'>

/** A definite refusal: nothing was written, and the same commit will be refused again. */
export class EngineRefusal extends Error {
  override readonly name = 'EngineRefusal'
  readonly reason: 'too_large' | 'too_many_operations' | 'storage_full' | 'bad_request'
  constructor(reason: EngineRefusal['reason'], message: string) {
    super(message)
    this.reason = reason
  }
}

/** The store has not answered, or not as it should: what was read is not known, and of a commit not even whether it was done. */
export class EngineUnavailable extends Error {}

/** The revision asked for is no longer kept: start over at a newer one. */
export class EngineCompacted extends Error {
  override readonly name = 'EngineCompacted'
}

/** The store can no longer be trusted (a failed sync, a panic, another store than before): the process must end. */
export class EngineFatal extends Error {
  override readonly name = 'EngineFatal'
}

/** One commit: bytes of its keys and values. etcd refuses 1.5 MiB; half a MiB is left for framing. */
export const COMMIT_BYTES_MAX = 1024 * 1024
/** Checks plus writes of one commit: etcd's default of 128 operations a transaction. */
export const COMMIT_OPERATIONS_MAX = 128
/** Keys are text of at most this many bytes (LMDB's limit is 1,978, less our framing). */
export const KEY_BYTES_MAX = 1024
export const LIST_LIMIT_MAX = 10_000
