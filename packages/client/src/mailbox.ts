/**
 * The requests of one session on their way.
 *
 * All that is asked within one turn of the event loop leaves as one frame, after a single reading of the clock: that reading is
 * the moment from which each of their replies confers time, so it is made before anything is handed to the transport. A request
 * stays here until it is answered; when the connection is lost, all of them are sent again under their ids in the order in which they were
 * made, and the server, which remembers ids, makes sure that nothing acts twice.
 *
 * `settled` tells the server which ids it may forget: all below the oldest unanswered one. A wait that lasts for hours would hold that
 * back for ever, so waits that are known to be in line do not count once much has been answered after them: the server
 * finds those by the waiter or the grant that carries their id.
 */
import { HoldfastError } from '@holdfast/protocol/errors'
import { FRAME_BYTES_MAX, FRAME_MESSAGES_MAX } from '@holdfast/protocol/limits'
import type { Clock, Instant } from './clock.ts'
import { ClosedError } from './errors.ts'
import type { Random } from './random.ts'
import { ReleaseRequest, RenewRequest, type Request } from './requests.ts'

/** A waiting request holds `settled` back by at most this many ids: far fewer than a server remembers. */
const HELD_BACK_IDS_MAX = 2_048
/** A frame leaves when it has this many messages, however many more this turn of the loop will ask. */
const FRAME_MESSAGES = 64
/** UTF-8 needs at most this many bytes for one UTF-16 unit. */
const BYTES_PER_UNIT_MAX = 3
/** Before a request whose outcome was unknown is sent again. */
const RETRY_MS_MAX = 250

export class Mailbox {
  readonly pending = new Map<number, Request>()
  /** The highest `settled` that was said. */
  settled = 0
  readonly #clock: Clock
  readonly #hand: (text: string) => void
  #nextId = 1
  #unsent: Request[] = []
  #retries: Request[] = []
  /** Before that none of them is sent. */
  #retryAtMs = 0
  /** What is submitted leaves by itself. */
  isOpen = false
  #isScheduled = false

  /** `hand` gives one frame to the transport. */
  constructor(clock: Clock, hand: (text: string) => void) {
    this.#clock = clock
    this.#hand = hand
  }

  /** Numbers the request and sends it at the end of this turn, or once the connection is open. */
  submit(request: Request): void {
    request.body.id = this.#nextId++
    if (request.madeAtMs === 0) request.madeAtMs = this.#clock.monotonicMs()
    this.pending.set(request.id, request)
    this.#push(request)
  }

  /** As they are now; what is done with them may change which they are. */
  all(): Request[] {
    return [...this.pending.values()]
  }

  /**
   * Its outcome was unknown: it is sent again under its id, by a `retry` in so many ms. The pause is drawn once for all that are refused meanwhile: each for
   * itself, the shortest of very many would be none.
   */
  retryLater(request: Request, nowMs: number, random: Random): number {
    if (this.#retries.length === 0) this.#retryAtMs = nowMs + ((1 + random.fraction()) / 2) * RETRY_MS_MAX
    this.#retries.push(request)
    return this.#retryAtMs - nowMs
  }

  /** Returns in how many ms it is to be called again. */
  retry(nowMs: number): number {
    if (this.#retries.length === 0) return Number.POSITIVE_INFINITY
    if (nowMs < this.#retryAtMs) return this.#retryAtMs - nowMs
    const requests = this.#retries
    this.#retries = []
    for (const request of requests) {
      if (!this.pending.has(request.id)) continue
      request.repeat()
      this.#push(request)
    }
    return Number.POSITIVE_INFINITY
  }

  #push(request: Request): void {
    if (!this.isOpen) return
    this.#unsent.push(request)
    // The server decides the first of many while the others are still being asked.
    if (this.#unsent.length >= FRAME_MESSAGES) return this.flush()
    if (this.#isScheduled) return
    this.#isScheduled = true
    this.#clock.afterTurn(this.#flushScheduled)
  }

  readonly #flushScheduled = () => {
    this.#isScheduled = false
    this.flush()
  }

  /** The connection can carry requests: all that is unanswered leaves at once. */
  open(): void {
    this.isOpen = true
    this.#unsent = this.all()
    for (const request of this.#unsent) request.repeat()
    this.flush()
  }

  shut(): void {
    this.isOpen = false
    this.#unsent = []
    this.#retries = []
  }

  /** Takes out the renewals that have been sent: they were a question to the server of then. All else is asked again. */
  takeSentRenewals(): RenewRequest[] {
    const renewals = this.all().filter(request => request instanceof RenewRequest)
    const sent = renewals.filter(({ sentAt }) => sentAt !== null)
    for (const { id } of sent) this.take(id)
    return sent
  }

  /** The session has ended: what means the same in another one stays, to be asked there. */
  moveToNewSession(): void {
    for (const request of this.all()) if (!request.moveToNewSession()) this.take(request.id)
  }

  failAll(error: HoldfastError): void {
    for (const request of this.all()) this.take(request.id)?.fail(error)
  }

  /** Nothing is asked any more. `hasEnded`: the session, by our own word. */
  close(hasEnded: boolean): void {
    for (const request of this.all()) {
      if (request instanceof ReleaseRequest) request.closed(hasEnded)
      else request.fail(new ClosedError())
    }
    this.pending.clear()
  }

  /** Takes the request out: it has been answered, or nobody wants the answer. */
  take(id: number): Request | undefined {
    const request = this.pending.get(id)
    if (request) this.pending.delete(id)
    return request
  }

  /** Ends what has been unanswered for too long. `unwelcomedMs`: the limit for everything as long as nobody has answered at all. */
  endOverdue(nowMs: number, unwelcomedMs: number | null, why: () => HoldfastError): void {
    for (const request of this.all()) {
      const own = request.timeoutMs()
      const limitMs = unwelcomedMs === null ? own : Math.min(unwelcomedMs, own ?? unwelcomedMs)
      const { id } = request
      const isOverdue = limitMs !== null && nowMs - request.madeAtMs > limitMs
      // What was done for one of them may have taken out another.
      if (isOverdue && this.pending.get(id) === request && !request.late(why())) this.take(id)
    }
  }

  /** When the oldest was sent of those that the server should have answered by now: all that do not stand in line. null: there is none. */
  get unansweredSinceMs(): number | null {
    let sinceMs: number | null = null
    for (const { sentAt, isQueued } of this.pending.values())
      if (sentAt !== null && !isQueued) sinceMs = Math.min(sinceMs ?? sentAt.monotonicMs, sentAt.monotonicMs)
    return sinceMs
  }

  flush(): void {
    if (!this.isOpen || this.#unsent.length === 0) return
    const requests = this.#unsent.filter(request => this.pending.has(request.id))
    this.#unsent = []
    for (let start = 0; start < requests.length; start += FRAME_MESSAGES_MAX) {
      this.#send(requests.slice(start, start + FRAME_MESSAGES_MAX), this.#clock.now())
    }
  }

  #send(requests: Request[], sentAt: Instant): void {
    const before = this.settled
    for (const request of requests) {
      request.sentAt = sentAt
      request.firstSentAt ??= sentAt
    }
    const settled = this.#watermark()
    const first = requests[0]
    if (first && settled > this.settled) {
      this.settled = settled
      first.body.settled = settled
    }
    const text = written(requests)
    if (typeof text === 'string' && fits(text)) return this.#hand(text)
    // It has not been said.
    this.settled = before
    if (requests.length === 1 && first) return this.#refuse(first, text)
    const middle = requests.length >> 1
    this.#send(requests.slice(0, middle), sentAt)
    this.#send(requests.slice(middle), sentAt)
  }

  /** It could never be sent: the server would close the connection, and what comes again would close the next. Others must not suffer from it. */
  #refuse(request: Request, text: string | TypeError): void {
    const why =
      typeof text === 'string'
        ? `What was asked for is ${text.length} characters long, as JSON; a message has at most ${FRAME_BYTES_MAX} bytes.`
        : `What was asked for cannot be written as JSON: ${text.message}`
    this.take(request.id)?.fail(
      new HoldfastError('invalid_request', why, typeof text === 'string' ? {} : { cause: text }),
    )
  }

  /** All ids below it are answered, or wait in line and are known by that. */
  #watermark(): number {
    for (const request of this.pending.values()) {
      if (!request.isQueued || this.#nextId - request.id <= HELD_BACK_IDS_MAX) return request.id
    }
    return this.#nextId
  }
}

/** Or why it cannot be: a BigInt among metadata, or what contains itself. */
function written(requests: readonly Request[]): string | TypeError {
  try {
    return JSON.stringify(requests.map(request => request.body))
  } catch (error) {
    return error instanceof TypeError ? error : new TypeError(String(error))
  }
}

function fits(text: string): boolean {
  if (text.length * BYTES_PER_UNIT_MAX <= FRAME_BYTES_MAX) return true
  return new TextEncoder().encode(text).length <= FRAME_BYTES_MAX
}
