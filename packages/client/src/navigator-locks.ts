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
  request<Result>(
    name: string,
    options: WebLockOptions | null | undefined,
    callback: Callback<Result>,
  ): Promise<Awaited<Result>>
  async request<Result>(
    name: string,
    ...[first, second]: [Callback<Result>] | [WebLockOptions | null | undefined, Callback<Result>]
  ): Promise<Awaited<Result>> {
    const callback = second === undefined ? first : second
    if (typeof callback !== 'function')
      throw new TypeError('`request` needs a callback, behind the options if there are any.')
    const asked = asksFor(name, second === undefined ? {} : first)
    const lock = await this.#acquire(asked)
    if (!lock) return await callback(null)
    // A theft takes effect at once, by the standard: it does not wait for the callback to stop.
    const running = runHolding(this.#session, lock, held => callback(webLock(held)), { holdsBack: false })
    return await Promise.race([running, rejectWhenLost(lock)])
  }

  #acquire({ name, mode, ifAvailable, steal, signal }: Asked): Promise<Lock | null> {
    const claim = { name, mode }
    if (ifAvailable) return tryAcquire(this.#session, claim, {})
    const options: AcquireOptions = steal ? { preempt: 'immediate', priority: STEAL_PRIORITY } : {}
    if (signal) options.signal = signal
    return acquire(this.#session, claim, options)
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

type Asked = Required<Omit<WebLockOptions, 'signal'>> & { name: string; signal: AbortSignal | undefined }

/** The standard's first steps of `request`: what is given is made into what is meant, and what makes no sense is refused. */
function asksFor(given: unknown, options: unknown): Asked {
  if (options !== null && !['undefined', 'object', 'function'].includes(typeof options))
    throw new TypeError('The options are to be an object.')
  // What is in them is looked at below.
  const wanted = (options ?? {}) as Record<keyof WebLockOptions, unknown>
  const { mode = 'exclusive', signal } = wanted
  const [ifAvailable, steal] = [Boolean(wanted.ifAvailable), Boolean(wanted.steal)]
  // As the standard has it: of a number that is its digits, and a symbol has none.
  const name = `${given}`
  if (mode !== 'exclusive' && mode !== 'shared') throw new TypeError('`mode` is `exclusive` or `shared`.')
  if (signal !== undefined && !isSignal(signal)) throw new TypeError('`signal` is not an AbortSignal.')
  signal?.throwIfAborted()
  const refuse = (message: string) => {
    throw new DOMException(message, 'NotSupportedError')
  }
  if (name.startsWith('-')) refuse('A name must not begin with `-`.')
  if (steal && ifAvailable) refuse('`steal` and `ifAvailable` exclude each other.')
  if (steal && mode !== 'exclusive') refuse('Only an exclusive lock can be stolen.')
  if (signal && (steal || ifAvailable)) refuse('`signal` ends a wait; `steal` and `ifAvailable` do not wait.')
  return { name, mode, ifAvailable, steal, signal }
}

/** Also one of another window. */
function isSignal(value: unknown): value is AbortSignal {
  return Object.prototype.toString.call(value) === '[object AbortSignal]'
}
