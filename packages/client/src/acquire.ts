/** Asking for locks: what may be said, how it is written on the wire, and how a grant becomes a handle. */
import { HoldfastError } from '@holdfast/protocol/errors'
import type {
  AcquireFields,
  ClientRequest,
  WireClaim,
  WireGrant,
  WireMode,
  WirePreempt,
} from '@holdfast/protocol/frame'
import { type Instant, remainingMs } from './clock.ts'
import { LockLostError } from './errors.ts'
import type { Holding } from './holding.ts'
import { Lock } from './lock.ts'
import type { Names } from './option-names.ts'
import { ANSWER_MS_MAX, type Body, QuietRequest, Request, type SuccessReply } from './requests.ts'
import type { Session } from './session.ts'
import type { Line, Step } from './task.ts'

export type AcquireOptions = {
  /** How long to stand in line, in ms. 0: only try. Default: without limit. */
  waitMs?: number
  /** Ends the wait (not the lock): the promise rejects with the signal's reason, and a grant that crosses it is given back. */
  signal?: AbortSignal
  /** Higher goes first, from -100 to 100; who waits ages, so that nobody starves. Default 0. */
  priority?: number
  /**
   * Ask holders of lower priority to give way (`graceful`: within the lock's grace, 5 s if it is not configured), or take the lock from them (`immediate`).
   * Needs the permission, and a wait: who only tries (`waitMs` 0) preempts nobody. Default: `never`.
   */
  preempt?: WirePreempt
  /**
   * The grant ends after this long even if its holder lives. As any end it is relied on with a margin: `signal` is aborted after 0.82 of it, less a
   * guard of at most 250 ms (of 5,000 ms: 3,841), for the two clocks may be apart by a tenth each; `expiring` is told before.
   */
  maxHoldMs?: number
  /** After an unclean end nobody gets the lock for this long. */
  lockDelayMs?: number
  /** If this session holds it already, enter it once more: it must be released as often. For one lock; a set is refused with it. */
  reentrant?: boolean
  /** For people who look at the lock. */
  metadata?: Record<string, unknown>
  labels?: Record<string, string>
  /**
   * Part of the work that holds this lock: so that deadlocks between lines of work are found. Inside `using` that is known of what is done one
   * after the other; what is held by `acquire` there, and what runs beside it, needs this.
   */
  within?: { readonly task: string }
  /** Told when it stands in line, and where: at first, and again when it has joined the line anew. `why` says who is before it. */
  onQueued?: (place: { position: number }) => void
}

export const acquireNames: Names<AcquireOptions> = {
  waitMs: true,
  signal: true,
  priority: true,
  preempt: true,
  maxHoldMs: true,
  lockDelayMs: true,
  reentrant: true,
  metadata: true,
  labels: true,
  within: true,
  onQueued: true,
}

export type Claim = {
  name: string
  mode?: WireMode
  permits?: number
  limit?: number
  maxHoldMs?: number
  lockDelayMs?: number
}

export const claimNames: Names<Claim> = {
  name: true,
  mode: true,
  permits: true,
  limit: true,
  maxHoldMs: true,
  lockDelayMs: true,
}

export type SingleClaim = Claim & { value?: string }

type AcquireBody = Extract<ClientRequest, { type: 'acquire' | 'acquire_all' }>

/** One claim, answered by one handle. The hot path of the library: one promise, one request. */
export function acquire(session: Session, claim: SingleClaim, options: AcquireOptions): Promise<Lock> {
  const line = lineOf(session, options)
  const body: AcquireBody = { id: 0, type: 'acquire', name: claim.name, task: taskOf(session, options, line) }
  writeClaim(body, claim, options)
  if (claim.value !== undefined) body.value = claim.value
  return new Promise((resolve, reject) => {
    const request = new AcquireRequest(session, body, options, { granted: locks => resolve(locks[0] as Lock), reject }) // one claim, one grant
    line?.begin(request)
    request.submit()
  })
}

/** Several claims, granted in one step or not at all; no other wait holds any of them meanwhile, so no deadlock can come of it. */
export function acquireSet(session: Session, claims: readonly Claim[], options: AcquireOptions): Promise<Lock[]> {
  if (options.reentrant && claims.length > 1) return Promise.reject(new HoldfastError('invalid_request', setEntered))
  const locks = claims.map(claim => {
    const wire: WireClaim = { name: claim.name }
    writeClaim(wire, claim, options)
    return wire
  })
  const line = lineOf(session, options)
  const body: AcquireBody = { id: 0, type: 'acquire_all', locks, task: taskOf(session, options, line) }
  return new Promise((resolve, reject) => {
    const request = new AcquireRequest(session, body, options, { granted: resolve, reject })
    line?.begin(request)
    request.submit()
  })
}

const setEntered =
  'A set is not entered once more: ask for each lock that you may hold already with `acquire(name, { reentrant: true })`, or leave `reentrant` out.'

/** The routine that this goes on with; null: none, or it is busy with something else. */
function lineOf(session: Session, { within }: AcquireOptions): Line | null {
  const line = within ? undefined : session.tasks.current()
  return line && !line.isBusy ? line : null
}

function taskOf(session: Session, { within }: AcquireOptions, line: Line | null): string {
  return within?.task ?? line?.task ?? session.newTask()
}

function writeClaim(wire: WireClaim, claim: Claim, options: AcquireOptions): void {
  if (claim.mode !== undefined) wire.mode = claim.mode
  if (claim.permits !== undefined) wire.permits = claim.permits
  if (claim.limit !== undefined) wire.limit = claim.limit
  const maxHoldMs = claim.maxHoldMs ?? options.maxHoldMs
  if (maxHoldMs !== undefined) wire.max_hold_ms = maxHoldMs
  const lockDelayMs = claim.lockDelayMs ?? options.lockDelayMs
  if (lockDelayMs !== undefined) wire.lock_delay_ms = lockDelayMs
}

function writeOptions(body: AcquireFields, options: AcquireOptions): void {
  if (options.priority !== undefined) body.priority = options.priority
  if (options.preempt !== undefined) body.preempt = options.preempt
  if (options.reentrant !== undefined) body.reentrant = options.reentrant
  if (options.metadata !== undefined) body.metadata = options.metadata
  if (options.labels !== undefined) body.labels = options.labels
}

/** null: without limit. What JSON could not carry is refused here, for it would read as something else. */
function waitOf(waitMs: number | undefined): number | null {
  if (waitMs === undefined || waitMs === Number.POSITIVE_INFINITY) return null
  if (waitMs >= 0) return Math.ceil(waitMs)
  throw new HoldfastError('invalid_request', `waitMs must be a number of milliseconds, 0 or more, not ${waitMs}.`)
}

type Outcome = { granted: (locks: Lock[]) => void; reject: (error: unknown) => void }

/** Reads the grants of a reply to either kind of acquire. */
type GrantsReply = { grant?: WireGrant; grants?: WireGrant[]; waited_ms?: number; ttl_ms?: number; changes?: number }

export class AcquireRequest extends Request implements Step {
  declare readonly body: AcquireBody
  readonly #session: Session
  readonly #outcome: Outcome
  readonly #signal: AbortSignal | undefined
  readonly #waitMs: number | null
  readonly #onQueued: AcquireOptions['onQueued']
  #isAbandoned = false
  #isRefused = false
  /** What it was granted. */
  #locks: readonly Lock[] | null = null

  constructor(session: Session, body: AcquireBody, options: AcquireOptions, outcome: Outcome) {
    super(body as Body)
    writeOptions(body, options)
    this.#waitMs = waitOf(options.waitMs)
    if (this.#waitMs !== null) body.wait_ms = this.#waitMs
    this.#session = session
    this.#outcome = outcome
    this.#signal = options.signal
    this.#onQueued = options.onQueued
  }

  /** Nobody wants the grant any more: if one comes it is given back. */
  get isAbandoned(): boolean {
    return this.#isAbandoned
  }

  /** It has been refused, or nothing that it was granted is held any more. */
  get isOver(): boolean {
    return this.#isAbandoned || this.#isRefused || (this.#locks?.every(lock => lock.isOver) ?? false)
  }

  override get name(): string {
    return this.body.type === 'acquire' ? this.body.name : this.body.locks.map(claim => claim.name).join(', ')
  }

  submit(): void {
    if (this.#signal?.aborted) {
      this.#isRefused = true
      this.#outcome.reject(this.#signal.reason)
      return
    }
    this.#signal?.addEventListener('abort', this.#aborted)
    this.#session.submit(this)
  }

  readonly #aborted = () => this.abandon(this.#signal?.reason)

  override timeoutMs(): number | null {
    return this.#waitMs === null ? null : this.#waitMs + ANSWER_MS_MAX
  }

  override queued(position: number): void {
    super.queued(position)
    try {
      if (!this.#isAbandoned) this.#onQueued?.({ position })
    } catch (error) {
      // Somebody else's code; what is asked for goes on.
      this.#session.report({ type: 'listener_failed', error })
    }
  }

  /** In a new session it starts at the end of the line, with the time that is left to it. */
  override moveToNewSession(): boolean {
    super.moveToNewSession()
    if (this.#isAbandoned) return false
    this.repeat()
    return true
  }

  /** One that is known to stand in line is found there, with the time that it was given. */
  override repeat(): void {
    if (this.#waitMs === null || this.isQueued) return
    const elapsedMs = Math.floor(this.#session.clock.monotonicMs() - this.madeAtMs)
    // Who would wait hears that the wait is over, and not that the lock was held at once.
    this.body.wait_ms = Math.max(Math.min(1, this.#waitMs), this.#waitMs - elapsedMs)
  }

  /** Rejects now. The server is told to take the request back; whichever of its grant and the cancel is first, nothing stays held. */
  abandon(reason: unknown): void {
    if (this.#isAbandoned) return
    this.#isAbandoned = true
    this.#settled()
    this.#outcome.reject(reason)
    this.#session.cancel(this)
  }

  override late(error: HoldfastError): boolean {
    this.abandon(error)
    return true
  }

  fail(error: HoldfastError): void {
    if (this.#isAbandoned) return
    if (this.sentAt === this.firstSentAt || !this.#session.isOpen) return this.#refuse(error)
    // It was sent more than once: a copy may lie in the socket of a server that was stopped, and would yet be granted, to nobody.
    if (error.code === 'unavailable') {
      this.#session.cancel(this)
      return this.#refuse(error)
    }
    // That nothing has been done is true when none of the copies can do anything any more.
    this.#session.ask({ id: 0, type: 'cancel', request_id: this.id }).then(
      () => this.#refuse(error),
      (failure: HoldfastError) => this.#refuse(failure.code === 'unavailable' ? failure : error),
    )
  }

  #refuse(error: HoldfastError): void {
    this.#isRefused = true
    this.#settled()
    this.#outcome.reject(error)
  }

  succeed(reply: SuccessReply, now: Instant): void {
    // The reply to an acquire, by the frame contract.
    const { grant, grants = grant ? [grant] : [], waited_ms: waitedMs = 0, changes } = reply as GrantsReply
    // Its cancel has been sent, and is asked until it is answered: that leaves what this has entered, once. A second time would be another's.
    if (this.#isAbandoned) return
    if (this.#isOvertaken(grants, changes)) {
      this.#session.giveBack(grants)
      return this.#again()
    }
    const holdings: Holding[] = []
    const sentAt = this.sentAt ?? now
    const arrival = {
      firstSentAt: this.firstSentAt ?? sentAt,
      sentAt,
      waitedMs,
      now,
      ...(changes !== undefined && { changes }),
    }
    for (const one of grants) holdings.push(this.#session.ledger.hold(one, arrival))
    // It may have arrived after its deadline: then it is nobody's, and the line is joined again (SAFETY P16).
    if (holdings.some(holding => this.#session.ledger.remainingMs(holding, now) <= 0)) {
      // What was entered before this is believed by others, and ends by its own deadline.
      for (const holding of holdings) this.#session.ledger.leave(holding)
      this.#session.giveBack(grants)
      const hopeless = holdings.find(({ limit }) => limit !== null && remainingMs(limit, sentAt) <= 0)
      if (hopeless) this.#tooShort(hopeless)
      else this.#again()
      return
    }
    this.#settled()
    const made = { task: this.body.task ?? '', waitedMs }
    const locks = holdings.map(holding => new Lock(this.#session, holding, made))
    this.#locks = locks
    this.#outcome.granted(locks)
  }

  /** Changes that came after the grant have been heard of, and acknowledged, before it: its own end may be one of them (SAFETY P14). */
  #isOvertaken(grants: readonly WireGrant[], changes: number | undefined): boolean {
    const { ledger } = this.#session
    return ledger.isOutdated({ changes }) && grants.some(({ token }) => !ledger.holdings.has(token))
  }

  /** Its own end is too near for any belief, however soon the answer comes: asking again would bring the same, for ever. */
  #tooShort(holding: Holding): void {
    const { name: lock, token } = holding
    this.fail(new LockLostError({ lock, token, reason: holding.limitReason() }))
  }

  #again(): void {
    const elapsedMs = this.#session.clock.monotonicMs() - this.madeAtMs
    const timeoutMs = this.timeoutMs()
    if (timeoutMs !== null && elapsedMs > timeoutMs) {
      this.fail(
        new HoldfastError(
          'unavailable',
          `Lock ${this.name}: its grant arrived too late to be relied on, and was given back. Try again.`,
        ),
      )
      return
    }
    this.moveToNewSession()
    this.#session.submit(this)
  }

  #settled(): void {
    this.#signal?.removeEventListener('abort', this.#aborted)
  }
}

/** Takes an acquire back that may have been granted. */
export class CancelRequest extends QuietRequest {
  readonly taken: AcquireRequest

  constructor(taken: AcquireRequest) {
    super({ id: 0, type: 'cancel', request_id: taken.id })
    this.taken = taken
  }
}
