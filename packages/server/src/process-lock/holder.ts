/**
 * Which process has the store: one at a time. What is acknowledged lies in the memory of that process before it lies in LMDB, so a second one
 * that wrote beside it would decide on a past (decision 0120).
 */
import { readFileSync, renameSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { KernelLock } from './kernel-lock.ts'

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

export class Holder {
  /** What is locked. Whoever opens it in this process and closes it lets the lock go. */
  readonly file: string
  readonly #path: string
  readonly #lock: KernelLock
  readonly #since = new Date().toISOString()
  /** Where the process before served it, which may not have had the time to clear up. */
  readonly formerSocket: string | null

  /** @throws StoreInUse */
  constructor(path: string) {
    this.#path = path
    this.file = join(path, LOCK_FILE)
    const lock = KernelLock.take(this.file)
    if (!lock) throw new StoreInUse(path, noteIn(path))
    this.#lock = lock
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
    this.#lock.release()
  }
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
