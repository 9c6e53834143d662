/**
 * The interface of the browser's Web Locks (`navigator.locks`), over all machines: code that is written for one runs on the other. Where the
 * standard is silent about losing a lock, this is not: when a lock is stolen or lost, the promise of `request` rejects with an
 * `AbortError`, as the standard wants for a theft, and the callback is told by the `signal` of the lock that it gets.
 */
import { type AcquireOptions, acquire } from './acquire.ts'
import type { Lock } from './lock.ts'
import { runHolding, tryAcquire } from './named-lock.ts'
import { refuseUnknown } from './option-names.ts'
import type { Rest } from './rest.ts'
import type { Session } from './session.ts'

export type WebLock = {
  readonly name: string
  readonly mode: 'exclusive' | 'shared'
  readonly signal: AbortSignal
  readonly token: number
}

/** What is not named here is ignored, as the standard has it. */
export type WebLockOptions = {
  mode?: 'exclusive' | 'shared'
  /** Call back with null instead of waiting. */
  ifAvailable?: boolean
  /**
   * Take it from its holders, whose requests reject. Needs the permission to preempt. Unlike the standard's it waits: until the last promise to a holder
   * that has not heard of it is over, at most its TTL; and from another thief, or from whoever holds with the highest priority (100), nothing is taken.
   */
  steal?: boolean
  /** Ends the waiting, not the holding. */
  signal?: AbortSignal
}

export type WebLockInfo = { name: string; mode: 'exclusive' | 'shared'; clientId: string }
export type WebLockSnapshot = { held: WebLockInfo[]; pending: WebLockInfo[] }

/** Above everybody who did not ask for more. */
const STEAL_PRIORITY = 100

type Callback<Result> = (lock: WebLock | null) => Result

export class NavigatorLocks {
  readonly #session: Session
  readonly #rest: Rest

  constructor(session: Session, rest: Rest) {
    this.#session = session
    this.#rest = rest
  }

  request<Result>(name: string, callback: Callback<Result>): Promise<Awaited<Result>>
  request<Result>(name: string, options: WebLockOptions, callback: Callback<Result>): Promise<Awaited<Result>>
  async request<Result>(
    name: string,
    ...given: [Callback<Result>] | [WebLockOptions, Callback<Result>]
  ): Promise<Awaited<Result>> {
    const { options, callback } =
      given.length === 1 ? { options: {}, callback: given[0] } : { options: given[0], callback: given[1] }
    refuseContradictions(name, options)
    const lock = await this.#acquire(name, options)
    if (!lock) return await callback(null)
    // A theft takes effect at once, by the standard: it does not wait for the callback to stop.
    const running = runHolding(this.#session, lock, held => callback(webLock(held)), { holdsBack: false })
    return await Promise.race([running, rejectWhenLost(lock)])
  }

  #acquire(name: string, options: WebLockOptions): Promise<Lock | null> {
    const claim = { name, mode: options.mode ?? 'exclusive' }
    if (options.ifAvailable) return tryAcquire(this.#session, claim, {})
    const asked: AcquireOptions = options.steal ? { preempt: 'immediate', priority: STEAL_PRIORITY } : {}
    if (options.signal) asked.signal = options.signal
    return acquire(this.#session, claim, asked)
  }

  /** Who holds and who waits, of the locks that may be seen. A snapshot lock by lock, not of one moment. */
  async query(options: { prefix?: string } = {}): Promise<WebLockSnapshot> {
    refuseUnknown('query()', options, { prefix: true })
    const { prefix = '' } = options
    const snapshot: WebLockSnapshot = { held: [], pending: [] }
    for await (const lock of this.#rest.list({ prefix })) {
      for (const { mode, sessionId } of lock.holders)
        snapshot.held.push({ name: lock.name, mode: plain(mode), clientId: sessionId })
      if (lock.waiters === 0) continue
      const { waiters } = await this.#rest.queue(lock.name)
      for (const { mode, sessionId } of waiters)
        snapshot.pending.push({ name: lock.name, mode: plain(mode), clientId: sessionId })
    }
    return snapshot
  }
}

function webLock(lock: Lock): WebLock {
  return {
    name: lock.name,
    mode: plain(lock.mode),
    token: lock.token,
    get signal() {
      return lock.signal
    },
  }
}

/** The standard knows no semaphores; who may share is nearest. */
function plain(mode: Lock['mode']): 'exclusive' | 'shared' {
  return mode === 'exclusive' ? 'exclusive' : 'shared'
}

function rejectWhenLost(lock: Lock): Promise<never> {
  return new Promise((_resolve, reject) => {
    const lost = () => reject(new DOMException(lock.signal.reason.message, 'AbortError'))
    // It may have been lost in the frame that brought it.
    if (lock.signal.aborted) lost()
    else lock.signal.addEventListener('abort', lost)
  })
}

/** As in the standard's first steps of `request`. */
function refuseContradictions(name: string, options: WebLockOptions): void {
  const refuse = (message: string) => {
    throw new DOMException(message, 'NotSupportedError')
  }
  if (name.startsWith('-')) refuse('A name must not begin with `-`.')
  if (options.steal && options.ifAvailable) refuse('`steal` and `ifAvailable` exclude each other.')
  if (options.steal && (options.mode ?? 'exclusive') !== 'exclusive') refuse('Only an exclusive lock can be stolen.')
  if (options.signal && (options.steal || options.ifAvailable))
    refuse('`signal` ends a wait; `steal` and `ifAvailable` do not wait.')
  options.signal?.throwIfAborted()
}
