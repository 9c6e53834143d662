/** LMDB, as the store uses it: one tree of keys under one revision, read at any time and written by whole layers. */
import { open as openFile, stat } from 'node:fs/promises'
import { join } from 'node:path'
import { open, type RootDatabase } from 'lmdb'
import { systemRandom } from '../../random.ts'
import { EngineFatal, type KeyValue } from '../engine.ts'
import { nameWhole } from './directory.ts'
import type { Layer } from './overlay.ts'

type Database = RootDatabase<Buffer, Buffer>

/** Behind all keys of ours, which begin with the byte 1. Its version is the revision up to which LMDB has what was committed. */
const counterKey = Buffer.from([2])
/** Its value is the salt of the store's journal, made with the store. */
const SALT_BYTES = 4

async function create(path: string): Promise<void> {
  const database = openDatabase(path)
  await database.put(counterKey, newSalt(), 1)
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

type TreePages = { treeBranchPageCount: number; treeLeafPageCount: number; overflowPages: number }

/** The pages of the data and of the list of free ones; the library's types do not know what it returns. */
function livePages(stats: unknown): number {
  const { root, free } = stats as { root: TreePages; free: TreePages } // what lmdb 3 returns for the root database
  let pages = 0
  for (const tree of [root, free]) pages += tree.treeBranchPageCount + tree.treeLeafPageCount + tree.overflowPages
  return pages
}

function newSalt(): Buffer {
  return Buffer.from(systemRandom.bytes(SALT_BYTES))
}

export class Tree {
  readonly #path: string
  #database: Database

  private constructor(path: string) {
    this.#path = path
    this.#database = openDatabase(path)
    // A process that was killed leaves its reader behind, and with it the pages that it pinned.
    this.#database.readerCheck()
  }

  static async open(path: string): Promise<Tree> {
    await nameWhole(path, create)
    // A process that was killed in its last write has left what is not on the disk yet, and what is believed now must be: the journals are written anew.
    const file = await openFile(join(path, 'data.mdb'), 'r+')
    await file.datasync().finally(() => file.close())
    const tree = new Tree(path)
    await tree.#begin()
    return tree
  }

  /** A file that could not be named whole (`directory.ts`) was made by LMDB, and is empty. */
  async #begin(): Promise<void> {
    await this.#database.ifNoExists(counterKey, () => {
      void this.#database.put(counterKey, newSalt(), 1)
    })
  }

  /** Of the newest commit that it has. */
  get revision(): number {
    this.refresh()
    return this.#counter.version
  }

  /** Random, and never another. */
  get salt(): number {
    const { value } = this.#counter
    // In a store that was begun before there were journals it is one byte.
    return value.length < SALT_BYTES ? value[0]! : value.readUInt32LE()
  }

  get #counter(): { value: Buffer; version: number } {
    const entry = this.#database.getEntry(counterKey)
    if (entry?.version === undefined) throw new EngineFatal('the store has lost its revision')
    return { value: entry.value, version: entry.version }
  }

  /** What is read from here on is as new as what was written before. */
  refresh(): void {
    this.#database.resetReadTxn()
  }

  get(key: string): KeyValue | null {
    const entry = this.#database.getEntry(encodeKey(key))
    return entry ? { key, value: entry.value, modRevision: entry.version ?? 0 } : null
  }

  has(key: string): boolean {
    return this.#database.doesExist(encodeKey(key))
  }

  /** `from ≤ key < to`. */
  keysWithin({ from, to }: { from: string; to: string }): string[] {
    return [...this.#database.getKeys({ start: encodeKey(from), end: encodeKey(to) })].map(decodeKey)
  }

  /** In order, each a copy; whoever takes them must not wait in between, for pages are pinned meanwhile. */
  *pairs({ prefix, after }: { prefix: string; after?: string | undefined }): Generator<KeyValue> {
    const isBeyond = after !== undefined && Buffer.compare(encodeKey(after), encodeKey(prefix)) >= 0
    const range = this.#database.getRange({
      start: encodeKey(isBeyond ? after : prefix),
      ...(isBeyond ? { exclusiveStart: true } : {}),
      end: behindPrefix(prefix),
      versions: true,
    })
    for (const { key, value, version } of range) yield { key: decodeKey(key), value, modRevision: version ?? 0 }
  }

  /** Takes all of the layer at once, and with it the revision; resolves when it is durable. */
  async store(layer: Layer, revision: number): Promise<void> {
    const database = this.#database
    const salt = this.#counter.value
    const isWritten = await database.ifVersion(counterKey, this.revision, () => {
      for (const [key, held] of layer.entries()) {
        if (held) void database.put(encodeKey(key), held.value, held.modRevision)
        else void database.remove(encodeKey(key))
      }
      void database.put(counterKey, salt, revision)
    })
    if (!isWritten) throw new Error('another process has written to the store')
    this.refresh()
  }

  /** Lets go of the pages that have been read, which are mapped until then. Nobody may read or write meanwhile. */
  async reopen(): Promise<void> {
    await this.#database.close()
    this.#database = openDatabase(this.#path)
  }

  /** Of the data and the list of free pages; and of the whole file. */
  async size(): Promise<{ liveBytes: number; fileBytes: number }> {
    const { size } = await stat(join(this.#path, 'data.mdb'))
    return { liveBytes: livePages(this.#database.getStats()) * PAGE_BYTES, fileBytes: size }
  }

  async close(): Promise<void> {
    await this.#database.close()
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
