/** Why a grant ended although its holder did not release it. */
export const lostReasons = ['expired', 'preempted', 'forced', 'transferred', 'session_closed', 'max_hold'] as const
export type LostReason = (typeof lostReasons)[number]

/**
 * The one table of error codes: HTTP status, whether a retry can help, one sentence.
 * Routes, the library, the command line and the reference page all derive from it; a new code is a decision.
 */
export const errors = {
  invalid_request: {
    status: 400,
    retry: false,
    summary: 'The request is malformed; the error names the field and what was expected.',
  },
  unauthenticated: { status: 401, retry: false, summary: 'No credential, or one that is not valid here.' },
  forbidden: { status: 403, retry: false, summary: 'The credential does not permit this.' },
  not_found: {
    status: 404,
    retry: false,
    summary: 'There is no such thing, or it may not be seen with this credential.',
  },
  method_not_allowed: { status: 405, retry: false, summary: 'The path exists, the method does not.' },
  lock_held: {
    status: 409,
    retry: true,
    summary: 'Somebody else holds the lock; the error says who, since when, and how many wait.',
  },
  lock_lost: { status: 409, retry: false, summary: 'The grant has ended; the reason says how.' },
  deadlock: {
    status: 409,
    retry: true,
    summary: 'Waiting would never end: the cycle of holders and waiters is spelled out.',
  },
  frozen: {
    status: 409,
    retry: true,
    summary: 'An operator has frozen the lock; the error says until when, by whom and why.',
  },
  stale_token: { status: 409, retry: false, summary: 'The token is not that of a current grant of this lock.' },
  already_exists: {
    status: 409,
    retry: false,
    summary: 'There is one of that name already; the error says which.',
  },
  precondition_failed: {
    status: 412,
    retry: false,
    summary: 'It has changed since the `ETag` in `If-Match` was read, or is not there.',
  },
  body_too_large: { status: 413, retry: false, summary: 'The body is larger than the limit that the error names.' },
  path_too_long: { status: 414, retry: false, summary: 'The path is longer than 8,000 bytes.' },
  unsupported_media_type: { status: 415, retry: false, summary: 'The body must be `application/json`.' },
  quota_exceeded: {
    status: 429,
    retry: true,
    summary: 'A limit on how much may exist at once has been reached; the error names it.',
  },
  rate_limited: { status: 429, retry: true, summary: 'Too many requests; `Retry-After` says when to come back.' },
  queue_full: { status: 429, retry: true, summary: 'The queue of the lock is at its limit.' },
  headers_too_large: { status: 431, retry: false, summary: 'The header fields are larger than the server accepts.' },
  internal: { status: 500, retry: false, summary: 'A bug in the service; the trace finds it in the log.' },
  storage_full: {
    status: 507,
    retry: true,
    summary: 'The store is nearly full: nothing new is granted; releases and renewals still work.',
  },
  unavailable: { status: 503, retry: true, summary: 'The outcome is unknown; retry with the same request id.' },
} as const satisfies Record<string, { status: number; retry: boolean; summary: string }>

export type ErrorCode = keyof typeof errors

/** One entry of the `errors` array on the wire. Fields beyond the first four are the details of its code. */
export type WireError = {
  code: ErrorCode
  message: string
  more_info?: string
  target?: { type: 'field' | 'parameter' | 'header'; name: string }
  [detail: string]: unknown
}

/** The body of every error reply. `trace` is the request id. */
export type ErrorBody = { trace: string; errors: WireError[] }

/** A failure with a code of the table. `details` goes onto the wire; `cause` is logged and never sent. */
export class HoldfastError extends Error {
  override readonly name: string = 'HoldfastError'
  readonly code: ErrorCode
  readonly details: Readonly<Record<string, unknown>>
  constructor(code: ErrorCode, message: string, options: { details?: Record<string, unknown>; cause?: unknown } = {}) {
    super(message, options.cause === undefined ? undefined : { cause: options.cause })
    this.code = code
    this.details = options.details ?? {}
  }
}
