/** What `connect` returns: one session, and all that can be done with it. */
import { type AcquireOptions, acquire, acquireNames, acquireSet, type Claim, claimNames } from './acquire.ts'
import { systemClock } from './clock.ts'
import { withCredential } from './credential.ts'
import { Election } from './election.ts'
import { ClosedError, HoldfastError } from './errors.ts'
import { Lock, readValue, type StoredValue } from './lock.ts'
import { LockSet } from './lock-set.ts'
import { NamedLock, plainTryNames, runHolding, type TryOptions, tryAcquire } from './named-lock.ts'
import { NavigatorLocks } from './navigator-locks.ts'
import { type OnceOptions, type OnceResult, once, type Slot } from './once.ts'
import { optionsFirst, refuseUnknown, unknownOption } from './option-names.ts'
import {
  baseUrlsOf,
  type ConnectOptions,
  checkConnectOptions,
  credentialOf,
  instanceOf,
  sessionOptionsOf,
} from './options.ts'
import { systemRandom } from './random.ts'
import { Rest } from './rest.ts'
import { Session, type SessionParts } from './session.ts'
import { platformTasks } from './task.ts'
import { webSocketTransport } from './transport.ts'
import { withCause } from './unreachable.ts'
import type { QueueView } from './views.ts'
import { type WatchItem, type WatchOptions, watch, watchNames } from './watch.ts'

/**
 * Connects when something is first asked of it, and stays connected until it is closed: a process that should end by itself closes it, or
 * says `await using`. One connection is one session: what it holds ends with it. Two parts of a program that must exclude
 * each other may share it, for a lock that it holds is held against its own other requests too.
 */
export function connect(options: ConnectOptions = {}, parts: Partial<SessionParts> = {}): Holdfast {
  checkConnectOptions(options)
  const WebSocketClass = options.WebSocket ?? globalThis.WebSocket
  if (!parts.openTransport && typeof WebSocketClass !== 'function') {
    throw new HoldfastError(
      'invalid_request',
      'This platform has no WebSocket: pass one as `WebSocket`, for instance that of the package `ws`.',
    )
  }
  const credential = credentialOf(options)
  const send = options.fetch ?? globalThis.fetch
  const open = parts.openTransport ?? withCause(webSocketTransport(WebSocketClass), send)
  const clock = parts.clock ?? systemClock()
  const session = new Session(sessionOptionsOf(options, credential), {
    openTransport: withCredential(open, credential),
    clock,
    random: parts.random ?? systemRandom,
    tasks: parts.tasks ?? platformTasks(),
  })
  const rest = new Rest({
    urls: baseUrlsOf(options),
    credential,
    instance: instanceOf(options),
    fetch: send,
    clock,
  })
  return new Holdfast(session, rest)
}

export class Holdfast implements AsyncDisposable {
  readonly #session: Session
  /** Looking, and what operators do: calls that need no session. */
  readonly rest: Rest

  /** Use `connect`. */
  constructor(session: Session, rest: Rest) {
    this.#session = session
    this.rest = rest
  }

  /** The session's id, to be named as the receiver of a transfer; connects if that has not happened. */
  async sessionId(): Promise<string> {
    if (this.#session.id === '') await this.#session.unheldGrants(list => list)
    return this.#session.id
  }

  /**
   * Waits in line for the lock, and resolves with the handle once it is held. Rejects with a `TimeoutError` after `waitMs`, a
   * `DeadlockError`, a `FrozenError`, a `QueueFullError`, what `signal` was aborted with, or with `quota_exceeded` when this connection holds and waits for
   * as much as one may (1,000 locks and waits: open more of them). Without `waitMs` it waits for as long as it takes; and two who take two locks the other way
   * round wait for each other for ever, unless each asks for its second one `within` the first, or inside `using`.
   */
  acquire(name: string, options: AcquireOptions = {}): Promise<Lock> {
    const refusal = unknownOption('acquire()', options, acquireNames)
    return refusal ? Promise.reject(refusal) : acquire(this.#session, { name }, options)
  }

  /** The lock if it is free, else null; never waits. */
  tryAcquire(name: string, options: Omit<TryOptions, 'permits'> = {}): Promise<Lock | null> {
    const refusal = unknownOption('tryAcquire()', options, plainTryNames)
    return refusal ? Promise.reject(refusal) : tryAcquire(this.#session, { name }, options)
  }

  /** All of the locks in one step, or none; waits without holding any of them. */
  async acquireAll(claims: readonly (string | Claim)[], options: AcquireOptions = {}): Promise<LockSet> {
    refuseUnknown('acquireAll()', options, acquireNames)
    // From JavaScript it may be one name.
    if (!Array.isArray(claims))
      throw new HoldfastError('invalid_request', 'acquireAll() takes a list of names or claims.')
    const named = claims.map(claim => (typeof claim === 'string' ? { name: claim } : claim))
    for (const claim of named) refuseUnknown('A claim of acquireAll()', claim, claimNames)
    return new LockSet(this.#session, await acquireSet(this.#session, named, options))
  }

  /**
   * Holds the lock, or several at once, while the routine runs, and gives it up when the routine has settled. Resolves or rejects as the routine does, whatever
   * becomes of the lock: if it is lost meanwhile, `lock.signal` is aborted, and a routine that does not look at that ends well all the same. One that must
   * not calls `lock.assertHeld()` last. Rejects as `acquire` does when the lock is not had, and with a `LockLostError` when it is lost before the routine begins.
   */
  using<Result>(name: string, routine: (lock: Lock) => Result): Promise<Awaited<Result>>
  using<Result>(name: string, options: AcquireOptions, routine: (lock: Lock) => Result): Promise<Awaited<Result>>
  using<Result>(names: readonly (string | Claim)[], routine: (locks: LockSet) => Result): Promise<Awaited<Result>>
  using<Result>(
    names: readonly (string | Claim)[],
    options: AcquireOptions,
    routine: (locks: LockSet) => Result,
  ): Promise<Awaited<Result>>
  async using<Result>(
    what: string | readonly (string | Claim)[],
    second: AcquireOptions | Routine<Result>,
    third?: Routine<Result>,
  ): Promise<Awaited<Result>> {
    const { options, routine: given } = optionsFirst<AcquireOptions, Routine<Result>>('using()', second, third)
    // The overloads pair a name with a routine for a lock, and names with one for a set.
    const routine = given as (held: Lock | LockSet) => Result
    if (typeof what === 'string') return runHolding(this.#session, await this.acquire(what, options), routine)
    return runHolding(this.#session, await this.acquireAll(what, options), routine)
  }

  /** The modes of a lock by name. */
  readonly locks = {
    exclusive: (name: string) => new NamedLock(this.#session, { name, mode: 'exclusive' }),
    /** Held by any number at once, as long as nobody holds or waits for it exclusively. */
    shared: (name: string) => new NamedLock(this.#session, { name, mode: 'shared' }),
  }

  /** At most `limit` permits are out at once; each has a slot number and a token of its own. All users of a name name the same limit. */
  semaphore(name: string, options: { limit?: number } = {}): NamedLock {
    refuseUnknown('semaphore()', options, { limit: true })
    return new NamedLock(this.#session, { name, mode: 'permits', limit: options.limit })
  }

  /** An election by this name: `campaign` stands for it with a value, `observe` follows who leads, and the leader resigns or is followed when it dies. */
  election(name: string): Election {
    return new Election(this.#session, this.rest, name)
  }

  /** The events of locks as they happen. End it by leaving the loop, or by `signal`. */
  watch(options: WatchOptions = {}): AsyncIterableIterator<WatchItem> & AsyncDisposable {
    refuseUnknown('watch()', options, watchNames)
    return watch(this.#session, options)
  }

  /**
   * Runs the routine at most once for each slot of the job (a number or a text that sorts, like a date), whoever asks. One at a time; and when one has
   * finished, nobody runs that slot or an earlier one again, for the lock's value remembers it. A run that fails, dies or loses the lock half way is not
   * finished, and may be repeated. Resolves with `ran: false` where it has been finished, or (without `waitMs`) where somebody else is at it.
   */
  once<Result>(job: string, slot: Slot, routine: (lock: Lock) => Result): Promise<OnceResult<Awaited<Result>>>
  once<Result>(
    job: string,
    slot: Slot,
    options: OnceOptions,
    routine: (lock: Lock) => Result,
  ): Promise<OnceResult<Awaited<Result>>>
  async once<Result>(
    job: string,
    slot: Slot,
    second: OnceOptions | ((lock: Lock) => Result),
    third?: (lock: Lock) => Result,
  ) {
    const { options, routine } = optionsFirst<OnceOptions, (lock: Lock) => Result>('once()', second, third)
    return once(this.#session, { job, slot, options }, routine)
  }

  /** The same with the interface of the browser's `navigator.locks`. */
  get navigatorLocks(): NavigatorLocks {
    return new NavigatorLocks(this.#session, this.rest)
  }

  /** A handle for a lock that another session has transferred to this one; null if there is none of that name. */
  adopt(name: string): Promise<Lock | null> {
    const session = this.#session
    return session.unheldGrants(({ grants, sentAt }) => {
      // What has a request was asked for here: its answer is on its way, or it is being given back.
      const grant = grants.find(one => one.name === name && one.request_id === undefined)
      if (session.ledger.isClosed) throw new ClosedError()
      if (!grant) return null
      return new Lock(session, session.holdAsOf(grant, sentAt), { task: session.newTask(), waitedMs: 0 })
    })
  }

  /** The value that the lock carries; null if none was ever written. */
  value(name: string): Promise<StoredValue | null> {
    return readValue(this.#session, name)
  }

  /** Who holds it, since when, and who waits in what order: the answer to "why am I waiting?". Rejects with `not_found` for a lock that nobody holds, waits for or has configured. */
  why(name: string): Promise<QueueView> {
    return this.rest.queue(name)
  }

  /** Ends the session: stops believing in all it holds, gives it up, ends all waits, and lets the process end. */
  close(): Promise<void> {
    return this.#session.close()
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.close()
  }
}

type Routine<Result> = ((lock: Lock) => Result) | ((locks: LockSet) => Result)
