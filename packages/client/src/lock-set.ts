/** Several locks that were granted in one step. */
import { HoldfastError } from '@holdfast/protocol/errors'
import type { Lock } from './lock.ts'
import { releaseQuietly } from './lock.ts'
import { ReleaseRequest } from './requests.ts'
import type { Session } from './session.ts'

export class LockSet implements AsyncDisposable, Iterable<Lock> {
  readonly locks: readonly Lock[]
  readonly #session: Session
  #signal: AbortSignal | null = null

  /** Only the session's acquire makes sets. */
  constructor(session: Session, locks: readonly Lock[]) {
    this.#session = session
    this.locks = locks
  }

  [Symbol.iterator](): Iterator<Lock> {
    return this.locks[Symbol.iterator]()
  }

  /** The lock of that name. Throws if it is none of the set. */
  get(name: string): Lock {
    const lock = this.locks.find(one => one.name === name)
    if (!lock) throw new HoldfastError('invalid_request', `Lock ${JSON.stringify(name)} is none of this set.`)
    return lock
  }

  get task(): string {
    return this.locks[0]?.task ?? ''
  }

  get waitedMs(): number {
    return this.locks[0]?.waitedMs ?? 0
  }

  /** Aborted when one of them is lost. */
  get signal(): AbortSignal {
    this.#signal ??= AbortSignal.any(this.locks.map(lock => lock.signal))
    return this.#signal
  }

  /** How long all of them may be relied on. */
  validForMs(): number {
    return Math.min(...this.locks.map(lock => lock.validForMs()))
  }

  /** Throws unless all of them are held for at least `minMs` more. */
  assertHeld(minMs = 0): void {
    for (const lock of this.locks) lock.assertHeld(minMs)
  }

  /** Gives up all that are left, in one step. */
  release(): Promise<void> {
    const held = this.locks.filter(lock => lock.drop())
    if (held.length === 0) return Promise.resolve()
    return new Promise((resolve, reject) => {
      const grants = held.map(({ name, token }) => ({ name, token }))
      // The step is all or nothing: when one has ended meanwhile, the others are given up one by one.
      const settle = (error: HoldfastError) => {
        if (error.code !== 'lock_lost' && error.code !== 'stale_token') return reject(error)
        this.#session.giveBack(grants)
        resolve()
      }
      const request = new ReleaseRequest({ id: 0, type: 'release_all', grants }, resolve, settle)
      this.#session.submit(request)
    })
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await releaseQuietly(this.#session, this)
  }
}
