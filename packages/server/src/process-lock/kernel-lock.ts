/**
 * Node has no lock on files, but SQLite, which is in Node, holds one of the kernel's for as long as a transaction is open: it goes with the process however
 * that ends, and holds across containers that share the directory. Nothing is ever stored in its file.
 */
import { DatabaseSync } from 'node:sqlite'

/** What nobody refers to any more would be closed, and the lock let go, while its process lives. */
const locks = new Set<DatabaseSync>()
/** SQLITE_BUSY. */
const BUSY = 5

/** Whoever else opens the file in this process and closes it lets the lock go. */
export class KernelLock {
  readonly #lock: DatabaseSync

  private constructor(lock: DatabaseSync) {
    this.#lock = lock
  }

  /** null: somebody has it. Makes the file if it is not there. @throws when that cannot be done. */
  static take(file: string): KernelLock | null {
    const lock = new DatabaseSync(file)
    try {
      // No second file, and no waiting.
      lock.exec('PRAGMA journal_mode = MEMORY; PRAGMA busy_timeout = 0; BEGIN EXCLUSIVE')
    } catch (error) {
      lock.close()
      if (error instanceof Error && 'errcode' in error && error.errcode === BUSY) return null
      throw error
    }
    locks.add(lock)
    return new KernelLock(lock)
  }

  release(): void {
    locks.delete(this.#lock)
    this.#lock.close()
  }
}
