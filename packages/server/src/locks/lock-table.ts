/**
 * The locks of an instance by name.
 *
 * Not a bare `Map`: that one leaves a hole in the chain of a name for each time the name is deleted, until the whole table is rebuilt; and a
 * table of a million is rebuilt once in a million deletions. So a name that is locked and freed a thousand times beside a million held locks would
 * be searched behind a thousand holes (measured: 30 µs a cycle rose to 108, decision 0014). Locks that have become free are therefore left in the
 * table for a while, marked as unused and invisible; the longest free of more than `UNUSED_MAX` go for good.
 */
import { Lock } from './lock.ts'

/** Free locks that are kept in the table: more names than are locked and freed in turn, at some 200 bytes each. */
export const UNUSED_MAX = 16_384

export class LockTable {
  readonly #locks = new Map<string, Lock>()
  /** Locks that were unused when they were put here, in a ring: most have been used again since. */
  readonly #ring: (Lock | undefined)[] = []
  readonly #unusedMax: number
  #next = 0
  #unused = 0

  constructor(options: { unusedMax: number } = { unusedMax: UNUSED_MAX }) {
    this.#unusedMax = options.unusedMax
  }

  /** How many are in use. */
  get size(): number {
    return this.#locks.size - this.#unused
  }

  /** How many are free and still in the table. */
  get unused(): number {
    return this.#unused
  }

  get(name: string): Lock | undefined {
    const lock = this.#locks.get(name)
    return lock?.isUnused ? undefined : lock
  }

  /** The lock, in use from now on. */
  take(name: string): Lock {
    const lock = this.#locks.get(name)
    if (!lock) {
      const fresh = new Lock(name)
      this.#locks.set(name, fresh)
      return fresh
    }
    if (lock.isUnused) {
      lock.isUnused = false
      this.#unused--
    }
    return lock
  }

  /** The lock is free: nothing is known of it any more, but for how long it is held when it is. */
  free(lock: Lock): void {
    if (lock.isUnused) return
    lock.isUnused = true
    this.#unused++
    if (lock.isInRing) return
    const place = this.#next++ % this.#unusedMax
    const former = this.#ring[place]
    if (former) this.#forget(former)
    this.#ring[place] = lock
    lock.isInRing = true
  }

  /** Those that are free go for good. */
  rest(): void {
    for (const lock of this.#ring) if (lock) this.#forget(lock)
    this.#ring.length = 0
    this.#next = 0
  }

  *values(): IterableIterator<Lock> {
    for (const lock of this.#locks.values()) if (!lock.isUnused) yield lock
  }

  *keys(): IterableIterator<string> {
    for (const lock of this.values()) yield lock.name
  }

  #forget(lock: Lock): void {
    lock.isInRing = false
    if (!lock.isUnused) return
    this.#locks.delete(lock.name)
    this.#unused--
  }
}
