/**
 * Which process has the store: one at a time. What is acknowledged lies in the memory of that process before it lies in LMDB, so a second one
 * that wrote beside it would decide on a past (decision 0120).
 *
 * Node has no lock on files, but SQLite, which is in Node, holds one of the kernel's for as long as a transaction is open: it goes with the process however
 * that ends, and holds across containers that share the directory. Nothing is ever stored in its file.
 */
import { readFileSync, renameSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { DatabaseSync } from 'node:sqlite'

const LOCK_FILE = 'holder.lock'
/** Who it is, for the message to whoever comes second; the lock does not depend on it. */
const NOTE_FILE = 'holder.json'
const NOTE_MODE = 0o600

type Note = { pid: number; since: string; socket: string | null }

/** Another process has the store open. What to do is in the message. */
export class StoreInUse extends Error {
  override readonly name = 'StoreInUse'
  /** Where it serves the store to others (`engine/served`); null: it does not, or cannot be asked. */
  readonly socket: string | null
  /** null: it has not said. */
  readonly pid: number | null
  constructor(path: string, note: Note | null) {
    const who = note ? `process ${note.pid}, running since ${note.since}` : 'another process'
    super(
      `The data directory is in use: ${path} is held by ${who}. ` +
        'Two servers cannot share one directory: stop that one, or start this one with a directory of its own.',
    )
    this.socket = note?.socket ?? null
    this.pid = note?.pid ?? null
  }
}

/** What nobody refers to any more would be closed, and the lock let go, while its process lives. */
const locks = new Set<DatabaseSync>()

export class Holder {
  /** What is locked. Whoever opens it in this process and closes it lets the lock go. */
  readonly file: string
  readonly #path: string
  readonly #lock: DatabaseSync
  readonly #since = new Date().toISOString()
  /** Where the process before served it, which may not have had the time to clear up. */
  readonly formerSocket: string | null

  /** @throws StoreInUse */
  constructor(path: string) {
    this.#path = path
    this.file = join(path, LOCK_FILE)
    this.#lock = new DatabaseSync(this.file)
    try {
      // No second file, and no waiting.
      this.#lock.exec('PRAGMA journal_mode = MEMORY; PRAGMA busy_timeout = 0; BEGIN EXCLUSIVE')
    } catch (error) {
      this.#lock.close()
      if (isBusy(error)) throw new StoreInUse(path, noteIn(path))
      throw error
    }
    locks.add(this.#lock)
    this.formerSocket = noteIn(path)?.socket ?? null
    this.note(null)
  }

  /** Says where the store is served to other processes. */
  note(socket: string | null): void {
    const note: Note = { pid: process.pid, since: this.#since, socket }
    const file = join(this.#path, NOTE_FILE)
    writeFileSync(`${file}.new`, JSON.stringify(note), { mode: NOTE_MODE })
    renameSync(`${file}.new`, file)
  }

  release(): void {
    locks.delete(this.#lock)
    this.#lock.close()
  }
}

/** SQLITE_BUSY. */
const BUSY = 5

function isBusy(error: unknown): boolean {
  return error instanceof Error && 'errcode' in error && error.errcode === BUSY
}

/** null: it is not there, or cannot be read. */
function noteIn(path: string): Note | null {
  try {
    const note: unknown = JSON.parse(readFileSync(join(path, NOTE_FILE), 'utf8'))
    const { pid, since, socket } = (note ?? {}) as Partial<Note> // unknown fields of anything
    if (typeof pid !== 'number' || typeof since !== 'string') return null
    return { pid, since, socket: typeof socket === 'string' ? socket : null }
  } catch {
    // The message does without it.
    return null
  }
}
