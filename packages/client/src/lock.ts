/**
 * The handle of a lock that is held.
 *
 * What it promises: while `validForMs()` is above 0, no other client of the service believes that it holds the lock, as long as clocks
 * run within 10 % of each other. What it does not: that an effect of yours still lands in that time. A process can be paused
 * between the check and the effect. Pass `token` to what the lock protects, and let that refuse smaller tokens than it has seen.
 */
import type { WireMode } from '@holdfast/protocol/frame'
import { HeldTooShortlyError, HoldfastError, hasCode, LockLostError } from './errors.ts'
import type { Holding, LockEventName, LockListener } from './holding.ts'
import { PlainRequest, ReleaseRequest } from './requests.ts'
import type { Session } from './session.ts'

/** What a resource can check with `POST /v2/locks/{lock}/validate`. `validUntil` is a label for people, not a promise. */
export type Proof = { lock: string; token: number; session: string; validForMs: number; validUntil: string }

/** To whom a lock can be handed. */
export type Receiver = string | { sessionId(): Promise<string> }

export type StoredValue = { value: string; token: number; writtenAt: string }

export class Lock implements AsyncDisposable {
  readonly #session: Session
  readonly #holding: Holding
  readonly #task: string
  readonly #waitedMs: number
  #controller: AbortController | null = null
  /** Each ends one callback. The grant may have been entered before, and go on for long. */
  #stops: Set<() => void> | null = null
  #isReleased = false

  /** Only the session makes handles. */
  constructor(session: Session, holding: Holding, made: { task: string; waitedMs: number }) {
    this.#session = session
    this.#holding = holding
    this.#task = made.task
    this.#waitedMs = made.waitedMs
  }

  get name(): string {
    return this.#holding.name
  }

  /** The fencing token: larger than that of every grant of this instance before it. Permit `i` of several has `token + i`. */
  get token(): number {
    return this.#holding.token
  }

  get mode(): WireMode {
    return this.#holding.mode
  }

  get permits(): number {
    return this.#holding.permits
  }

  /** The slot numbers of a semaphore's permits, from 0; empty for other modes. */
  get slots(): readonly number[] {
    return this.#holding.slots ?? []
  }

  /** How long the grant was waited for, as the service measured it. */
  get waitedMs(): number {
    return this.#waitedMs
  }

  /** The line of work that holds it: what `within` passes on. */
  get task(): string {
    return this.#task
  }

  /**
   * Aborted, with a `LockLostError`, when the lock is lost or its deadline has come: before the service gives it to anybody else. A stalled
   * event loop delays it, as it delays everything; `assertHeld` does not depend on it. Not aborted by `release()`.
   */
  get signal(): AbortSignal {
    if (this.#controller) return this.#controller.signal
    const controller = new AbortController()
    this.#controller = controller
    const { lost } = this.#holding
    if (lost) controller.abort(lost)
    else if (!this.#isReleased) this.on('lost', error => controller.abort(error))
    return controller.signal
  }

  /** How long it may be relied on from now without another word from the service; 0: not at all. Reads the clock. */
  validForMs(): number {
    if (this.#isReleased) return 0
    return Math.max(0, this.#session.holdsForMs(this.#holding))
  }

  /** It has been released or lost, as far as this side has noticed. Does not read the clock. */
  get isOver(): boolean {
    return this.#isReleased || this.#holding.lost !== null
  }

  get isHeld(): boolean {
    return this.validForMs() > 0
  }

  /**
   * Throws a `LockLostError` unless the lock is held, and a `HeldTooShortlyError` when it is, but cannot be relied on for `minMs` more. To be
   * called right before an effect, with the time that the effect takes. Reads the clock itself, so that a stall of the event loop is seen even before
   * its timers have run.
   */
  assertHeld(minMs = 0): void {
    const { name: lock, token } = this.#holding
    if (this.#isReleased) throw new LockLostError({ lock, token, reason: 'released' })
    const remainingMs = this.#session.holdsForMs(this.#holding)
    if (this.#holding.lost) throw this.#holding.lost
    if (remainingMs <= 0) throw new LockLostError({ lock, token, reason: 'expired' })
    if (remainingMs >= minMs) return
    const why = this.#session.ledger.whyNoLonger(this.#holding, minMs)
    throw new HeldTooShortlyError({ lock, token, validForMs: remainingMs, minMs, why })
  }

  /** Calls back at each such event until the returned function is called. A listener added after the loss is not called. */
  on<Name extends LockEventName>(name: Name, call: LockListener<Name>): () => void {
    if (this.#isReleased) return () => {}
    const end = this.#holding.listen(name, event => (this.#isReleased ? undefined : call(event)))
    this.#stops ??= new Set()
    const stop = () => {
      end()
      this.#stops?.delete(stop)
    }
    this.#stops.add(stop)
    return stop
  }

  /**
   * Gives the lock up; from the call on it is not believed to be held. Resolves when the service has recorded it, at once when it was lost
   * or released before. Rejects with `UnavailableError` when the service does not answer in time: it is then told as soon as it can be reached.
   */
  release(): Promise<void> {
    if (!this.drop()) return Promise.resolve()
    const { name, token } = this.#holding
    return new Promise((resolve, reject) => {
      this.#session.submit(new ReleaseRequest({ id: 0, type: 'release', name, token }, resolve, reject))
    })
  }

  /** Stops believing without telling anybody: the first half of a release. Returns whether there is anything to release. */
  drop(): boolean {
    if (this.#isReleased) return false
    this.#isReleased = true
    for (const stop of this.#stops ?? []) stop()
    if (this.#holding.lost) return false
    this.#session.ledger.leave(this.#holding)
    return true
  }

  /**
   * Hands the lock to another session in one step, with nobody in between. It is not believed from the call on; when the service
   * refuses, it is again; when it does not answer, so that nobody knows whose it is, it is lost, and given back if it was not handed over. Returns the new token, which the receiver gets by `adopt(name)`. The receiver: what `connect` returned, or the id of a
   * session, as its own process says it.
   */
  async transfer(receiver: Receiver): Promise<number> {
    this.assertHeld()
    const { name, token } = this.#holding
    this.#holding.isSuspended = true
    try {
      const toSession = typeof receiver === 'string' ? receiver : await sessionIdOf(receiver)
      // Connecting the receiver may have taken long.
      if (this.#holding.lost) throw this.#holding.lost
      const asked = this.#session.ask<{ token: number }>({
        id: 0,
        type: 'transfer',
        name,
        token,
        to_session: toSession,
      })
      const reply = await asked.catch(error => {
        if (hasCode(error, 'unavailable') && !this.#holding.lost) {
          void this.#session.ledger.lose(this.#holding, 'transferred')
          this.#session.giveBack(this.#holding.entries)
        }
        throw error
      })
      void this.#session.ledger.lose(this.#holding, 'transferred')
      return reply.token
    } finally {
      this.#holding.isSuspended = false
    }
  }

  /** What another party can check with the service: that this token is the lock's current one. True when answered, not when acted upon. */
  proof(): Proof {
    const validForMs = this.validForMs()
    return {
      lock: this.name,
      token: this.token,
      session: this.#session.id,
      validForMs,
      validUntil: new Date(this.#session.clock.wallMs() + validForMs).toISOString(),
    }
  }

  /** Asks the service whether the grant is current. Throws `stale_token` when it is not. */
  async validate(): Promise<void> {
    await this.#session.ask({ id: 0, type: 'validate', name: this.name, token: this.token }, { survives: true })
  }

  /** The value that the lock carries, whoever wrote it; null if none was ever written. */
  async value(): Promise<StoredValue | null> {
    return readValue(this.#session, this.name)
  }

  /** Writes the lock's value. Only the current holder can: of a lock that is lost this throws its `LockLostError`, and nothing is written. */
  async setValue(value: string): Promise<void> {
    if (this.#holding.lost) throw this.#holding.lost
    try {
      await this.#session.ask({ id: 0, type: 'write_value', name: this.name, token: this.token, value })
    } catch (error) {
      // The service knew first; it was not written.
      throw hasCode(error, 'stale_token') && this.#holding.lost ? this.#holding.lost : error
    }
  }

  /** `await using`: releases, and hides no error of the block when the service is away. */
  async [Symbol.asyncDispose](): Promise<void> {
    await releaseQuietly(this.#session, this)
  }
}

async function sessionIdOf(receiver: Exclude<Receiver, string>): Promise<string> {
  // The types say so; from JavaScript it may be anything.
  const id: unknown = await receiver?.sessionId?.()
  if (typeof id === 'string') return id
  const what = 'transfer() needs its receiver: what connect() returned, or the id of a session.'
  throw new HoldfastError('invalid_request', what)
}

/** Releases; that the service does not answer is nobody's concern: the grant ends with its session. */
export async function releaseQuietly(session: Session, lock: { release(): Promise<void> }): Promise<void> {
  const released = lock.release().catch((error: unknown) => session.report({ type: 'release_failed', error }))
  // While the connection is away the release travels later, and nobody should wait for that.
  if (session.isOpen) await released
}

export async function readValue(session: Session, name: string): Promise<StoredValue | null> {
  type Wire = { value: string; token: number; written_at: string }
  const { promise, resolve, reject } = Promise.withResolvers<StoredValue | null>()
  session.submit(
    new PlainRequest<Wire>(
      { id: 0, type: 'value', name },
      {
        survives: true,
        resolve: ({ value, token, written_at }) => resolve({ value, token, writtenAt: written_at }),
        reject: error => (error.code === 'not_found' ? resolve(null) : reject(error)),
      },
    ),
  )
  return promise
}
