/**
 * What can go wrong, as classes: `instanceof` narrows, `code` is that of the wire's error table, and the message says what to do.
 */
import { toCamel } from '@holdfast/protocol/casing'
import { type ErrorCode, HoldfastError, type LostReason, type WireError } from '@holdfast/protocol/errors'

export { type ErrorCode, HoldfastError } from '@holdfast/protocol/errors'

/**
 * Why a handle no longer holds. Beyond the wire's reasons: `connection` (the service could not be reached before the deadline),
 * `unauthenticated` (the service no longer takes the credential, so this side stops; the service ends the grants with the session), `released` (by this process).
 */
export type LockLostReason = LostReason | 'connection' | 'unauthenticated' | 'released'

/** Who asked the holder to give way, and why: an operator in their words, or a request of higher priority. */
export type Notice = { by: string; reason: string }

const lostSentences: Record<LockLostReason, string> = {
  expired:
    'its session was not renewed in time (a stalled process or machine); let the resource check the token, or use a longer ttlMs',
  preempted: 'a request of higher priority, or an operator, took it; listen to `preempting` to finish in time',
  forced: 'an operator ended it by force; its history says who and why',
  transferred: 'it was transferred to another session',
  session_closed: 'this connection has been closed',
  max_hold: 'its longest hold is over; ask for a longer maxHoldMs or do less under the lock',
  connection: 'the service could not be reached before the deadline; stop, and acquire again when it is back',
  unauthenticated: 'the service no longer takes the credential of this connection: it has been revoked, or has expired',
  released: 'this process has released it',
}

/** The lock is, or may be, no longer held. The reason of `lock.signal`. */
export class LockLostError extends HoldfastError {
  override readonly name = 'LockLostError'
  declare readonly code: 'lock_lost'
  readonly lock: string
  readonly token: number
  readonly reason: LockLostReason
  /** What it was preempted for, where the holder was told; else null. */
  readonly notice: Notice | null
  constructor(lost: { lock: string; token: number; reason: LockLostReason; notice?: Notice | null }) {
    const { lock, token, reason } = lost
    const notice = reason === 'preempted' ? (lost.notice ?? null) : null
    super('lock_lost', `Lock ${quote(lock)} (token ${token}) is lost: ${lostSentence(reason, notice)}.`, {
      details: { lock, token, reason, ...(notice && { notice }) },
    })
    this.lock = lock
    this.token = token
    this.reason = reason
    this.notice = notice
  }
}

function lostSentence(reason: LockLostReason, notice: Notice | null): string {
  if (!notice) return lostSentences[reason]
  return `${notice.by} took it (${notice.reason}); listen to \`preempting\` to finish in time`
}

/** The lock is held, but not for as long as was asked of `assertHeld`: nothing is lost yet, and the effect must not begin. */
export class HeldTooShortlyError extends HoldfastError {
  override readonly name = 'HeldTooShortlyError'
  declare readonly code: 'precondition_failed'
  readonly lock: string
  readonly token: number
  /** For how long it can be relied on. */
  readonly validForMs: number
  /** For how long it was to be. */
  readonly minMs: number
  constructor(held: { lock: string; token: number; validForMs: number; minMs: number; why: string }) {
    const { lock, token, minMs, why } = held
    const validForMs = Math.floor(held.validForMs)
    const message = `Lock ${quote(lock)} (token ${token}) is held, and can be relied on for ${validForMs} ms, not for ${minMs} ms: ${why}.`
    super('precondition_failed', message, { details: { lock, token, validForMs, minMs } })
    this.lock = lock
    this.token = token
    this.validForMs = validForMs
    this.minMs = minMs
  }
}

/** Somebody else has it. */
export class LockHeldError extends HoldfastError {
  override readonly name: string = 'LockHeldError'
  declare readonly code: 'lock_held'
  readonly lock: string
  readonly holder: string | null
  /** RFC 3339. */
  readonly since: string | null
  readonly labels: Readonly<Record<string, string>>
  readonly queueLength: number
  readonly estimateMs: number | null
  constructor(lock: string, message: string, details: Record<string, unknown>) {
    super('lock_held', message, { details })
    this.lock = text(details.lock) ?? lock
    this.holder = text(details.holder)
    this.since = text(details.since)
    this.labels = labelsOf(details.labels)
    this.queueLength = number(details.queueLength) ?? 0
    this.estimateMs = number(details.estimateMs)
  }
}

/** It was not granted within `waitMs`. */
export class TimeoutError extends LockHeldError {
  override readonly name = 'TimeoutError'
}

/** Waiting would never have ended. Release what you hold, then try again. */
export class DeadlockError extends HoldfastError {
  override readonly name = 'DeadlockError'
  declare readonly code: 'deadlock'
  readonly lock: string
  /** Each waits for a lock that the next one holds; the last one's holder is the first waiter. */
  readonly cycle: readonly { waiter: string; task: string; lock: string; holder: string }[]
  constructor(lock: string, message: string, details: Record<string, unknown>) {
    super('deadlock', message, { details })
    this.lock = lock
    this.cycle = Array.isArray(details.cycle) ? details.cycle : []
  }
}

/** An operator keeps everybody out for now. */
export class FrozenError extends HoldfastError {
  override readonly name = 'FrozenError'
  declare readonly code: 'frozen'
  readonly lock: string
  readonly until: string | null
  readonly by: string | null
  readonly reason: string | null
  constructor(lock: string, message: string, details: Record<string, unknown>) {
    super('frozen', message, { details })
    this.lock = lock
    this.until = text(details.until)
    this.by = text(details.by)
    this.reason = text(details.reason)
  }
}

/** Too many wait already. */
export class QueueFullError extends HoldfastError {
  override readonly name = 'QueueFullError'
  declare readonly code: 'queue_full'
  readonly lock: string
  readonly limit: number | null
  constructor(lock: string, message: string, details: Record<string, unknown>) {
    super('queue_full', message, { details })
    this.lock = lock
    this.limit = number(details.limit)
  }
}

/** The service did not answer: whether the request took effect is unknown, unless it was an acquire, which is then taken back. */
export class UnavailableError extends HoldfastError {
  override readonly name = 'UnavailableError'
  declare readonly code: 'unavailable'
  constructor(message: string, options: { details?: Record<string, unknown>; cause?: unknown } = {}) {
    super('unavailable', message, options)
  }
}

/** `close()` has been called on the connection. */
export class ClosedError extends HoldfastError {
  override readonly name = 'ClosedError'
  constructor() {
    super('invalid_request', 'This connection has been closed by close(). Call connect() again.')
  }
}

/** One error of the wire as the class that says most about it. `lock`: what was asked for. */
export function errorOf(wire: WireError, lock = ''): HoldfastError {
  const { code, message, more_info: _moreInfo, target, ...rest } = wire
  const details: Record<string, unknown> = toCamel(rest)
  if (target !== undefined) details.target = target
  const sentence = `${lock === '' ? '' : `Lock ${quote(lock)}: `}${message}`
  switch (code) {
    case 'lock_held': {
      const held = `${sentence}${heldBy(details)}`
      return details.reason === 'timeout'
        ? new TimeoutError(lock, held, details)
        : new LockHeldError(lock, held, details)
    }
    case 'lock_lost':
      return new LockLostError({ lock, token: number(details.token) ?? 0, reason: lostReason(details.reason) })
    case 'deadlock':
      return new DeadlockError(lock, sentence, details)
    case 'frozen':
      return new FrozenError(lock, sentence, details)
    case 'queue_full':
      return new QueueFullError(lock, sentence, details)
    case 'unavailable':
      return new UnavailableError(sentence, { details })
    case 'unauthenticated':
      return new HoldfastError(code, `${message} Set HOLDFAST_API_KEY or pass apiKey.`, { details })
    default:
      return new HoldfastError(code, sentence, { details })
  }
}

/** Who has it, where the service says so. */
function heldBy({ holder, since, queueLength }: Record<string, unknown>): string {
  if (typeof holder !== 'string') return ''
  const waiting = number(queueLength) ?? 0
  const line = waiting === 0 ? '' : `; ${waiting} ${waiting === 1 ? 'waits' : 'wait'} in line`
  return ` The holder is ${quote(holder)}${typeof since === 'string' ? `, since ${since}` : ''}${line}.`
}

/** A reason of the wire; what is not known is told as what it most likely is. */
export function lostReason(reason: unknown): LockLostReason {
  return typeof reason === 'string' && Object.hasOwn(lostSentences, reason) ? (reason as LockLostReason) : 'expired' // own keys are the reasons
}

function quote(name: string): string {
  return JSON.stringify(name)
}

function text(value: unknown): string | null {
  return typeof value === 'string' ? value : null
}

function number(value: unknown): number | null {
  return typeof value === 'number' ? value : null
}

function labelsOf(value: unknown): Record<string, string> {
  // The server only ever sends texts here, and who reads labels for people can bear the rest.
  return value !== null && typeof value === 'object' ? (value as Record<string, string>) : {}
}

/** Narrowing by code, where a class is not at hand. */
export function hasCode(error: unknown, code: ErrorCode): error is HoldfastError {
  return error instanceof HoldfastError && error.code === code
}
