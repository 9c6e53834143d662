/** What has been asked and not yet been answered, one class a kind: what it sends, and what its answer means. */
import type { HoldfastError } from '@holdfast/protocol/errors'
import type { ClientRequest, ServerMessage } from '@holdfast/protocol/frame'
import type { Instant } from './clock.ts'
import { UnavailableError } from './errors.ts'

/** What is sent. Its `id` is 0 until the request is submitted. */
export type Body = ClientRequest

export type SuccessReply = Extract<ServerMessage, { type: 'reply'; error?: undefined }>

/** How long an answer may take beyond the wait that was asked for, before the outcome is called unknown. */
export const ANSWER_MS_MAX = 10_000

export abstract class Request {
  /** The reading before it was handed to the transport, the last time. */
  sentAt: Instant | null = null
  /** The same, the first time in this session: what the owner measured of a wait began after it. */
  firstSentAt: Instant | null = null
  madeAtMs = 0
  /** The server has said that it waits in line. */
  isQueued = false
  readonly body: Body

  constructor(body: Body) {
    this.body = body
  }

  /** The request id: the same whenever it is sent again. */
  get id(): number {
    return this.body.id
  }

  /** How long an answer may take; null: without limit. */
  timeoutMs(): number | null {
    return ANSWER_MS_MAX
  }

  /** The session ended at the server. Returns whether the request is to be made again in the new one. */
  moveToNewSession(): boolean {
    this.firstSentAt = null
    this.isQueued = false
    return true
  }

  /** Nobody has answered in time. Returns whether it is asked on all the same. */
  late(error: HoldfastError): boolean {
    this.fail(error)
    return false
  }

  /** The lock that it is about; empty: none, or several. */
  get name(): string {
    return 'name' in this.body ? (this.body.name ?? '') : ''
  }

  /** It is sent again, under its id. */
  repeat(): void {}

  queued(_position: number): void {
    this.isQueued = true
  }

  abstract succeed(reply: SuccessReply, now: Instant): void
  abstract fail(error: HoldfastError): void
}

/** Most requests: the reply itself is the answer. */
export class PlainRequest<Answer> extends Request {
  readonly #resolve: (answer: Answer) => void
  readonly #reject: (error: HoldfastError) => void
  readonly #survives: boolean

  /** `survives`: it means the same in another session. */
  constructor(
    body: Body,
    promise: { resolve: (answer: Answer) => void; reject: (error: HoldfastError) => void; survives: boolean },
  ) {
    super(body)
    this.#resolve = promise.resolve
    this.#reject = promise.reject
    this.#survives = promise.survives
  }

  override moveToNewSession(): boolean {
    super.moveToNewSession()
    if (!this.#survives)
      this.#reject(new UnavailableError('The session ended before this was answered; its locks are lost.'))
    return this.#survives
  }

  succeed(reply: SuccessReply): void {
    // The type of the request decides the fields of its reply (`Replies` of the frame contract).
    this.#resolve(reply as Answer)
  }

  fail(error: HoldfastError): void {
    this.#reject(error)
  }
}

/** What nobody waits for: a cancel, the release of what was never handed out. It is asked until it is answered, or its session has ended. */
export class QuietRequest extends Request {
  override timeoutMs(): null {
    return null
  }
  override moveToNewSession(): boolean {
    return false
  }
  succeed(): void {}
  /** The grant that it was about has ended, or ends with its session. */
  fail(): void {}
}

/**
 * Gives up one grant, or several in one step. That one had ended already is no failure: it is given up. When no answer comes in time its
 * maker is told so, and it is asked on all the same: the session lives, and what is still held by it nobody else could ever have.
 */
export class ReleaseRequest extends Request {
  readonly #resolve: () => void
  readonly #reject: (error: HoldfastError) => void
  #isAbandoned = false

  constructor(body: Body, resolve: () => void, reject: (error: HoldfastError) => void) {
    super(body)
    this.#resolve = resolve
    this.#reject = reject
  }

  override timeoutMs(): number | null {
    return this.#isAbandoned ? null : super.timeoutMs()
  }

  override moveToNewSession(): boolean {
    this.#resolve()
    return false
  }

  /** Nothing is asked any more; `hasEnded`: the session, and with it what was to be given up. */
  closed(hasEnded: boolean): void {
    const unheard = 'The service has not answered before close(): what was held ends with its session, by its TTL.'
    if (hasEnded) this.#resolve()
    else this.#reject(new UnavailableError(unheard))
  }

  /** Nobody waits for the answer any more. */
  override late(error: HoldfastError): boolean {
    this.#isAbandoned = true
    this.#reject(error)
    return true
  }

  succeed(): void {
    this.#resolve()
  }

  fail(error: HoldfastError): void {
    // Of a set nothing has been released then: its maker releases the others.
    const isEnded = error.code === 'lock_lost' || error.code === 'stale_token'
    if (error.code === 'not_found' || (isEnded && this.body.type === 'release')) this.#resolve()
    else this.#reject(error)
  }
}

/** Shows that the session lives, says what it knows, and may ask for the list of what it holds. */
export class RenewRequest extends Request {
  /** How many grants had arrived when it was made: an older one that its list lacks has ended. */
  readonly grantsSeen: number
  readonly #done: (
    request: RenewRequest,
    reply: SuccessReply | null,
    error: HoldfastError | null,
    now: Instant | null,
  ) => void

  constructor(
    body: Body,
    grantsSeen: number,
    done: (request: RenewRequest, reply: SuccessReply | null, error: HoldfastError | null, now: Instant | null) => void,
  ) {
    super(body)
    this.grantsSeen = grantsSeen
    this.#done = done
  }

  /** One that is on its way says by its silence that the connection is dead; one that waits for a connection may wait as long as an answer. */
  override timeoutMs(): number | null {
    return this.sentAt === null ? ANSWER_MS_MAX : null
  }

  override moveToNewSession(): boolean {
    this.#done(this, null, new UnavailableError('The session has ended.'), null)
    return false
  }

  succeed(reply: SuccessReply, now: Instant): void {
    this.#done(this, reply, null, now)
  }

  fail(error: HoldfastError): void {
    this.#done(this, null, error, null)
  }
}
