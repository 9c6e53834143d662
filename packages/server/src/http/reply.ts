/** The single map from what the core refuses to what the wire says. */
import { type ErrorCode, errors, type HoldfastError, type WireError } from '@holdfast/protocol/errors'
import { SESSION_REQUESTS_MAX } from '@holdfast/protocol/limits'
import type { Cycle, Held, Refusal } from '../locks/model.ts'
import { timestamp } from './views.ts'

/** A quota or a full queue is looked at again after this long, and a server that cannot answer now is asked again. */
const RETRY_AFTER_SECONDS = 1

export function refused(refusal: Refusal): WireError {
  const error = errorOf(refusal)
  if (refusal.waitedMs !== undefined) error.waited_ms = refusal.waitedMs
  return error
}

function errorOf(refusal: Refusal): WireError {
  switch (refusal.code) {
    case 'lock_held':
      return heldError(refusal.reason, refusal.held)
    case 'lock_lost':
      return { code: 'lock_lost', message: lostMessages[refusal.reason], reason: refusal.reason }
    case 'deadlock':
      return { code: 'deadlock', message: deadlockMessage(refusal.cycle), cycle: refusal.cycle }
    case 'frozen': {
      const until = timestamp(refusal.untilAt)
      const message = `The lock is frozen until ${until} by \`${refusal.by}\`: ${refusal.reason}`
      return { code: 'frozen', message, until, by: refusal.by, reason: refusal.reason }
    }
    case 'stale_token':
      return {
        code: 'stale_token',
        message: 'The token names no current grant of this lock, or one of another session.',
      }
    case 'queue_full':
      return {
        code: 'queue_full',
        message: `The queue of the lock is at its limit of ${refusal.limit}.`,
        limit: refusal.limit,
      }
    case 'quota_exceeded':
      return {
        code: 'quota_exceeded',
        message:
          quotaMessages[refusal.limit] ?? `The limit of ${refusal.max} on \`${refusal.limit}\` has been reached.`,
        limit: refusal.limit,
        max: refusal.max,
      }
    case 'rate_limited':
      return {
        code: 'rate_limited',
        message: `The limit of ${refusal.max} on \`${refusal.limit}\` has been reached.`,
        limit: refusal.limit,
        max: refusal.max,
        retry_after_ms: refusal.retryMs,
      }
    case 'forbidden':
      return { code: 'forbidden', message: disabledMessage, reason: refusal.reason }
    case 'not_found':
      return { code: 'not_found', message: missingMessages[refusal.what], what: refusal.what }
    case 'precondition_failed':
      return {
        code: 'precondition_failed',
        message: 'It has changed since the `ETag` in `If-Match` was read, or is not there.',
        target: { type: 'header', name: 'If-Match' },
      }
    case 'storage_full':
      return { code: 'storage_full', message: errors.storage_full.summary }
    case 'invalid_request':
      return { code: 'invalid_request', message: refusal.message, target: targetOf(refusal.field) }
  }
}

/** Of limits that no waiting helps with: what does. */
const quotaMessages: { readonly [limit: string]: string } = {
  session_requests: `The session remembers ${SESSION_REQUESTS_MAX} request ids, which is the limit, and forgets none while it lives: waiting does not help. What it holds can still be released. Open a new session and close this one; a WebSocket client says \`settled\`.`,
}

const disabledMessage = 'The instance is disabled: what is held can be kept and released, and nothing new is to be had.'

const lostMessages = {
  expired: 'The grant has ended: it was not renewed in time, or never was.',
  preempted: 'The grant has ended: it was preempted.',
  forced: 'The grant has ended: an operator released it.',
  transferred: 'The grant has ended: it was transferred.',
  session_closed: 'The grant has ended: its session was closed or it was released.',
  max_hold: 'The grant has ended: it reached the longest hold that was set.',
} as const

const missingMessages = {
  lock: 'There is no such lock: it is neither configured nor in use.',
  session: 'There is no such session, or not any more; open a new one.',
  freeze: 'There is no freeze of this prefix.',
  value: 'The lock has no value.',
  wait: 'There is no such request in line.',
} as const

const heldMessages = {
  held: 'The lock is held by somebody else.',
  delayed: 'The lock is kept free for a while after an unclean end.',
  timeout: 'The wait is over and the lock is still not free.',
  cancelled: 'The request was cancelled.',
  queued: 'Others are before you in line.',
} as const

const ownMessage =
  'Your own session holds the lock: release that grant first (a shared one does not become exclusive), or enter it once more with `reentrant: true`.'

function heldError(reason: keyof typeof heldMessages, held: Held | null): WireError {
  const error: WireError = { code: 'lock_held', message: heldMessages[reason], reason }
  if (!held) return error
  if (held.isOwn && reason === 'held') error.message = ownMessage
  error.lock = held.lock
  if (held.holder !== null) error.holder = held.holder
  if (held.at !== null) error.since = timestamp(held.at)
  if (held.labels !== null) error.labels = held.labels
  error.queue_length = held.queueLength
  if (held.estimateMs !== null) error.estimate_ms = held.estimateMs
  if (held.delayedMs !== null) error.delayed_ms = held.delayedMs
  return error
}

function deadlockMessage(cycle: Cycle): string {
  // Through locks that the caller may not read.
  return cycle.length === 0 ? 'Waiting would never end.' : `Waiting would never end: ${spell(cycle)}.`
}

function spell(cycle: Cycle): string {
  return cycle.map(({ waiter, lock, holder }) => `\`${waiter}\` waits for \`${lock}\` of \`${holder}\``).join(', ')
}

/** The core names headers as they are written. */
function targetOf(field: string): NonNullable<WireError['target']> {
  return { type: /^[A-Z]/.test(field) ? 'header' : 'field', name: field }
}

export function failed(error: HoldfastError): WireError {
  return { code: error.code, message: error.message, ...error.details }
}

/** A refusal on its way through promises; `wire` is what goes out. */
export class Refused extends Error {
  override readonly name = 'Refused'
  readonly wire: WireError
  constructor(wire: WireError) {
    super(wire.message)
    this.wire = wire
  }
}

export function invalid(
  type: 'field' | 'parameter' | 'header',
  { name, message }: { name: string; message: string },
): Refused {
  return new Refused({ code: 'invalid_request', message, target: { type, name } })
}

export function refuse(code: ErrorCode, message: string = errors[code].summary): Refused {
  return new Refused({ code, message })
}

/** Headers that the error asks for. `wallMs` is now. */
export function headersOf(
  { code, limit, max, retry_after_ms }: Partial<WireError> & { code: ErrorCode },
  wallMs: number,
): Record<string, string> {
  if (code === 'unauthenticated') return { 'www-authenticate': 'Bearer realm="holdfast", Basic realm="holdfast"' }
  // The Handbook asks for it with 429; clients wait for as long as it says at 503 too.
  if (errors[code].status !== 429 && errors[code].status !== 503) return {}
  const seconds =
    typeof retry_after_ms === 'number' ? Math.max(1, Math.ceil(retry_after_ms / 1000)) : RETRY_AFTER_SECONDS
  const headers = { 'retry-after': String(seconds) }
  if (code !== 'rate_limited' || typeof limit !== 'string' || typeof max !== 'number') return headers
  return {
    ...headers,
    'x-ratelimit-limit': String(max),
    'x-ratelimit-remaining': '0',
    'x-ratelimit-reset': String(Math.floor(wallMs / 1000) + seconds),
    // As in the IETF's draft of November 2026 (ECOSYSTEM 2); the limit is one of a second.
    'ratelimit-policy': `"${limit}";q=${max};w=1`,
    ratelimit: `"${limit}";r=0;t=${seconds}`,
  }
}
