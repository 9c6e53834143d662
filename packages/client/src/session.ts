/**
 * A session as its client sees it: one liveness, and everything that it holds and waits for.
 *
 * The connection may come and go. On each new one the session is resumed: what the server says it holds and this side does not know is
 * given back, what this side believed and the server does not know is lost, and every unanswered request is sent again under its id. A session
 * that has ended at the server takes its locks with it; waits begin again in a new session.
 *
 * One timer wakes it up, and every wake-up reads the clocks afresh: deadlines are never trusted to timers, which stop while the machine
 * sleeps and run late when the loop is busy. Every frame that arrives is judged by a reading made on its arrival, too, so that after a stall
 * nothing is handed out that may have ended meanwhile.
 */
import type { HoldfastError, WireError } from '@holdfast/protocol/errors'
import type { ClientHello, ServerMessage, WireGrant } from '@holdfast/protocol/frame'
import { AcquireRequest } from './acquire.ts'
import type { Cancel, Clock, Instant } from './clock.ts'
import { Connection } from './connection.ts'
import { ClosedError, errorOf, type LockLostReason, lostReason, UnavailableError } from './errors.ts'
import type { Holding } from './holding.ts'
import { Ledger } from './ledger.ts'
import { Mailbox } from './mailbox.ts'
import type { SessionEvent, SessionOptions } from './options.ts'
import type { Random } from './random.ts'
import { type GrantList, Renewal } from './renewal.ts'
import {
  type Body,
  PlainRequest,
  QuietRequest,
  ReleaseRequest,
  RenewRequest,
  type Request,
  type SuccessReply,
} from './requests.ts'
import type { Tasks } from './task.ts'
import type { OpenTransport } from './transport.ts'

/** While something is held or awaited the clocks are read at least this often: a suspended machine is noticed by that. */
const TICK_MS_MAX = 500
const TICK_MS_MIN = 20
const TICK_OF_TTL = 1 / 30
/** How long `close` waits for the service to hear of it. */
const CLOSE_MS_MAX = 2_000
/** Before a request whose outcome was unknown is sent again. */
const RETRY_MS_MAX = 250

export type SessionParts = { openTransport: OpenTransport; clock: Clock; random: Random; tasks: Tasks }

/** What hears of the events of one watch. */
export type Watcher = { opened(): void; lost(): void }
export type WatchMessage = Extract<ServerMessage, { watch: number }>

type Welcome = Extract<ServerMessage, { type: 'welcome' }>

export class Session {
  readonly tasks: Tasks
  readonly watchers = new Set<Watcher>()
  /** By the id of the request that began the watch. */
  readonly watches = new Map<number, (message: WatchMessage) => void>()
  readonly #options: SessionOptions
  readonly #clock: Clock
  readonly #random: Random
  readonly #connection: Connection
  readonly #mailbox: Mailbox
  readonly #ledger: Ledger
  readonly #renewal: Renewal
  #secret = ''
  #id = ''
  #helloSentAt: Instant | null = null
  #hasBeenWelcomed = false
  #receivedAtMs = 0
  #isClosed = false
  #retries: Request[] = []
  #tasksMade = 0
  #wakeAtMs = Number.POSITIVE_INFINITY
  #cancelWake: Cancel = () => {}

  constructor(options: SessionOptions, parts: SessionParts) {
    this.#options = options
    this.#clock = parts.clock
    this.#random = parts.random
    this.tasks = parts.tasks
    this.#ledger = new Ledger(options.ttlMs, {
      failed: error => this.report({ type: 'listener_failed', error }),
      unwound: () => this.#renewal.acknowledge(),
    })
    this.#connection = new Connection({
      url: options.socketUrl,
      ...parts,
      listener: {
        opened: () => this.#hello(),
        received: text => this.#receive(text),
        lost: why => this.#connectionLost(why),
      },
    })
    this.#mailbox = new Mailbox(parts.clock, text => this.#connection.send(text))
    this.#renewal = new Renewal({
      ledger: this.#ledger,
      submit: request => this.submit(request),
      conferred: (request, reply, now) => this.#confer(request, reply, now),
      failed: error => this.#renewalFailed(error),
    })
  }

  /** Empty until the service has been reached. */
  get id(): string {
    return this.#id
  }

  get isOpen(): boolean {
    return this.#connection.isOpen
  }

  get isClosed(): boolean {
    return this.#isClosed
  }

  monotonicMs(): number {
    return this.#clock.monotonicMs()
  }

  wallMs(): number {
    return this.#clock.wallMs()
  }

  newTask(): string {
    this.#tasksMade++
    return this.#tasksMade.toString(36)
  }

  report(event: SessionEvent): void {
    this.#options.onEvent?.(event)
  }

  // ------------------------------------------------------------------------------------------------ asking

  submit(request: Request): void {
    if (this.#isClosed) {
      request.fail(new ClosedError())
      return
    }
    this.#mailbox.submit(request)
    this.#connection.start()
    this.#wakeWithin(this.#tickMs(), request.madeAtMs)
  }

  /** `survives`: the question means the same in another session. */
  ask<Answer>(body: Body, { survives = false }: { survives?: boolean } = {}): Promise<Answer> {
    return new Promise((resolve, reject) => {
      this.submit(new PlainRequest<Answer>(body, { resolve, reject, survives }))
    })
  }

  /** Takes an acquire back, wherever it is. Its own answer is still awaited, for a grant may have crossed the cancel. */
  cancel(request: AcquireRequest): void {
    if (request.sentAt === null) this.#mailbox.take(request.id)
    else this.submit(new QuietRequest({ id: 0, type: 'cancel', request_id: request.id }))
  }

  giveBack(grants: readonly { name: string; token: number }[]): void {
    for (const { name, token } of grants) this.submit(new QuietRequest({ id: 0, type: 'release', name, token }))
  }

  // ------------------------------------------------------------------------------------------------ holding

  /** A grant has arrived with the answer to its request. */
  hold(grant: WireGrant, request: Request, arrival: { waitedMs: number; now: Instant }): Holding {
    const { waitedMs, now } = arrival
    const sentAt = request.sentAt ?? now
    return this.#ledger.hold(grant, { firstSentAt: request.firstSentAt ?? sentAt, sentAt, waitedMs, now })
  }

  /** A grant that a list brought which was asked for at `sentAt`. */
  holdAsOf(grant: WireGrant, sentAt: Instant): Holding {
    return this.#ledger.hold(grant, { firstSentAt: sentAt, sentAt, waitedMs: 0, now: this.#clock.now() })
  }

  remainingMs(holding: Holding, now: Instant): number {
    return this.#ledger.remainingMs(holding, now)
  }

  /** What remains by a reading made now. When nothing does, the lock is lost before this returns. */
  holdsForMs(holding: Holding): number {
    if (holding.lost || holding.isSuspended) return 0
    const now = this.#clock.now()
    const remainingMs = this.#ledger.remainingMs(holding, now)
    if (remainingMs <= 0) this.#checkDeadlines(now)
    return remainingMs
  }

  leave(holding: Holding): void {
    this.#ledger.leave(holding)
  }

  forget(holding: Holding): void {
    this.#ledger.forget(holding)
  }

  lose(holding: Holding, reason: LockLostReason): void {
    void this.#ledger.lose(holding, reason)
  }

  /** The grants that the server lists for this session and that nobody here holds. */
  async unheldGrants(): Promise<GrantList> {
    const { grants, sentAt } = await this.#renewal.list()
    return { grants: grants.filter(grant => !this.#ledger.holdings.has(grant.token)), sentAt }
  }

  #checkDeadlines(now: Instant): void {
    const lost = this.#ledger.check(now, this.#connection.isOpen ? 'expired' : 'connection')
    for (const { holding, unwinding } of lost) {
      this.report({ type: 'lock_lost', error: holding.lost })
      // Nobody here believes in it any more: as soon as the work has stopped, whoever waits need not wait for the TTL.
      if (unwinding)
        unwinding.then(() => this.giveBack([holding])).catch(error => this.report({ type: 'listener_failed', error }))
      else this.giveBack([holding])
    }
  }

  // ------------------------------------------------------------------------------------------------ the connection

  #hello(): void {
    const { apiKey, ttlMs, labels } = this.#options
    const hello: ClientHello = { type: 'hello' }
    if (apiKey !== undefined) hello.authorization = `Bearer ${apiKey}`
    if (this.#id !== '') hello.session = `${this.#id}.${this.#secret}`
    else {
      hello.ttl_ms = ttlMs
      if (labels) hello.labels = labels
    }
    this.#helloSentAt = this.#clock.now()
    this.#connection.send(JSON.stringify([hello]))
  }

  #connectionLost(why: string): void {
    this.#mailbox.shut()
    for (const request of [...this.#mailbox.pending.values()]) {
      if (request instanceof RenewRequest)
        this.#mailbox.take(request.id)?.fail(new UnavailableError(`The connection was lost: ${why}.`))
    }
    this.#retries = []
    for (const watcher of this.watchers) watcher.lost()
    if (this.#hasBeenWelcomed) this.report({ type: 'disconnected', why })
    this.#wakeWithin(this.#tickMs(), this.#clock.monotonicMs())
  }

  #receive(text: string): void {
    const now = this.#clock.now()
    this.#receivedAtMs = now.monotonicMs
    // What has run out while this frame lay in the socket is lost before the frame can say anything.
    if (this.#ledger.holdings.size > 0 && this.#ledger.dueMs(now) <= 0) this.#checkDeadlines(now)
    let messages: ServerMessage[]
    try {
      // What the service sends is of its own making; a frame that is not JSON is answered by a new connection.
      messages = JSON.parse(text) as ServerMessage[]
    } catch (error) {
      this.#connection.drop(`the server sent what is not JSON: ${String(error)}`)
      return
    }
    for (const message of messages) this.#handle(message, now)
    this.#wakeWithin(this.#tickMs(), now.monotonicMs)
  }

  #handle(message: ServerMessage, now: Instant): void {
    switch (message.type) {
      case 'reply':
        if (message.error === undefined) this.#succeed(message, now)
        else if (message.id === 0) this.#helloRefused(message.error)
        else this.#refuse(message.id, message.error)
        return
      case 'welcome':
        return this.#welcome(message, now)
      case 'queued': {
        const request = this.#mailbox.pending.get(message.id)
        if (request) request.isQueued = true
        return
      }
      case 'preempting':
      case 'lost':
        return this.#pushed(message)
      case 'received':
        this.report({ type: 'received', lock: message.name, token: message.token })
        if (message.changes > this.#ledger.belief.processedChanges) this.#renewal.catchUp()
        return
      case 'expiring': {
        const holding = this.#ledger.holdings.get(message.token)
        if (holding) this.#ledger.expiring(holding, message.ends_in_ms)
        return
      }
      case 'event':
      case 'reset':
        this.watches.get(message.watch)?.(message)
        return
      case 'going_away':
        return this.#connection.drop('the server is going away')
    }
  }

  #welcome(message: Welcome, now: Instant): void {
    const isResumed = message.session.id === this.#id
    this.#id = message.session.id
    this.#secret = message.session.secret
    this.#hasBeenWelcomed = true
    const sentAt = this.#helloSentAt ?? now
    this.#connection.greeted()
    if (isResumed) this.#reconcile(message, { sentAt, now })
    else this.#ledger.belief.restart(message.ttl_ms, message.changes)
    this.#renewal.restart({ acknowledged: isResumed ? 0 : message.changes, at: sentAt })
    this.report({ type: isResumed ? 'session_resumed' : 'session_opened', session: this.#id, server: message.server })
    this.#mailbox.open()
    // A welcome confers nothing; what is held needs a reply.
    if (isResumed) this.#renewal.catchUp()
    for (const watcher of this.watchers) watcher.opened()
  }

  /** Both sides have gone on without each other: the server's list is what is held, and what nobody here asked for is given back. */
  #reconcile(message: Welcome, at: { sentAt: Instant; now: Instant }): void {
    if (!message.grants) return
    const { unknown } = this.#ledger.adopt(message.grants, { ...at, grantsSeen: this.#ledger.grantsSeen })
    this.#ledger.belief.processedChanges = message.changes
    this.giveBack(unknown.filter(grant => !this.#isExpected(grant)))
  }

  /** Whether a request that is still unanswered asked for the grant, or will release it, or it was transferred to this session. */
  #isExpected(grant: WireGrant): boolean {
    if (typeof grant.request_id !== 'number') return true
    const request = this.#mailbox.pending.get(grant.request_id)
    if (request instanceof AcquireRequest && !request.isAbandoned) return grant.request_id >= this.#mailbox.settled
    for (const { body } of this.#mailbox.pending.values())
      if (body.type === 'release' && body.token === grant.token) return true
    return false
  }

  #helloRefused(wire: WireError): void {
    const error = errorOf(wire)
    if (this.#id !== '' && isSessionGone(wire)) return this.#sessionEnded(error.message)
    this.report({ type: 'refused', error })
    // The service is there and may let us in later: the backoff goes on.
    if (error.code === 'unavailable' || error.code === 'rate_limited' || error.code === 'quota_exceeded')
      return this.#connection.drop(error.message)
    this.#connection.rest(error.message)
    for (const request of [...this.#mailbox.pending.values()]) this.#mailbox.take(request.id)?.fail(error)
  }

  // ------------------------------------------------------------------------------------------------ answers

  #succeed(reply: SuccessReply, now: Instant): void {
    const request = this.#mailbox.take(reply.id)
    if (!request) return
    // A renewal may bring the list that its own time depends on: it confers by itself.
    if (!(request instanceof RenewRequest)) this.#confer(request, reply, now)
    request.succeed(reply, now)
  }

  #confer(request: Request, reply: SuccessReply, now: Instant): void {
    const { sentAt } = request
    if (reply.ttl_ms === undefined || sentAt === null) return
    // Absent only where nothing is held yet.
    const { ttl_ms: ttlMs, changes = 0 } = reply
    const waitedMs = typeof reply.waited_ms === 'number' ? reply.waited_ms : 0
    const { belief } = this.#ledger
    if (!belief.confer({ since: sentAt, ttlMs, waitedMs: 0, changes }, now)) return this.#renewal.catchUp()
    if (waitedMs > 0 && request.firstSentAt)
      belief.confer({ since: request.firstSentAt, ttlMs, waitedMs, changes }, now)
    this.#renewal.conferredBy(sentAt)
  }

  #refuse(id: number, wire: WireError): void {
    const request = this.#mailbox.pending.get(id)
    if (!request) return
    if (isSessionGone(wire, request)) return this.#sessionEnded(wire.message)
    if (wire.code === 'unavailable' || (wire.code === 'rate_limited' && request instanceof RenewRequest)) {
      this.#retries.push(request)
      this.#wakeWithin(this.#random.fraction() * RETRY_MS_MAX, this.#clock.monotonicMs())
      return
    }
    this.#mailbox.take(id)
    if (
      request instanceof AcquireRequest &&
      wire.code === 'invalid_request' &&
      request.isQueued &&
      id < this.#mailbox.settled
    ) {
      // A wait that the server no longer knows by its id: what is left of it goes, and the line is joined anew.
      this.submit(new QuietRequest({ id: 0, type: 'cancel', request_id: id }))
      if (request.moveToNewSession()) this.submit(request)
      return
    }
    const name =
      request instanceof AcquireRequest ? request.name : 'name' in request.body ? (request.body.name ?? '') : ''
    request.fail(errorOf(wire, name))
  }

  #pushed(message: Extract<ServerMessage, { type: 'lost' | 'preempting' }>): void {
    const { belief, holdings } = this.#ledger
    const holding = holdings.get(message.token)
    if (message.type === 'lost') {
      if (holding) void this.#ledger.lose(holding, lostReason(message.reason))
      // The only thing that has happened since: nothing else needs to be fetched.
      if (message.changes === belief.processedChanges + 1) belief.processedChanges = message.changes
    } else if (holding)
      this.#ledger.notice(holding, { by: message.by, reason: message.reason, graceMs: message.grace_ms })
    if (message.changes > belief.processedChanges) this.#renewal.catchUp()
    else this.#renewal.acknowledge()
  }

  #renewalFailed(error: HoldfastError): void {
    this.#ledger.warn(this.#ledger.belief.remainingMs(this.#clock.now()))
    this.report({ type: 'renewal_failed', error })
  }

  /** It no longer exists at the server, so nothing that it held does. Waits begin again in the next session. */
  #sessionEnded(why: string): void {
    this.#id = ''
    void this.#ledger.loseAll('expired')
    this.#mailbox.shut()
    for (const request of [...this.#mailbox.pending.values()]) {
      if (!request.moveToNewSession()) this.#mailbox.take(request.id)
    }
    this.report({ type: 'session_ended', why })
    this.#connection.drop(`the session has ended: ${why}`)
  }

  // ------------------------------------------------------------------------------------------------ time

  #tickMs(): number {
    return Math.min(TICK_MS_MAX, Math.max(TICK_MS_MIN, this.#ledger.belief.ttlMs * TICK_OF_TTL))
  }

  /** Sees to it that the next wake-up comes within `delayMs`. */
  #wakeWithin(delayMs: number, nowMs: number): void {
    if (this.#isClosed || this.#wakeAtMs <= nowMs + delayMs) return
    this.#cancelWake()
    this.#wakeAtMs = nowMs + delayMs
    this.#cancelWake = this.#clock.after(delayMs, this.#wake)
  }

  readonly #wake = () => {
    this.#wakeAtMs = Number.POSITIVE_INFINITY
    const now = this.#clock.now()
    this.#checkDeadlines(now)
    this.#endOverdue(now.monotonicMs)
    for (const request of this.#retries) this.#mailbox.sendAgain(request)
    this.#retries = []
    let dueMs = this.#ledger.dueMs(now)
    if (this.#connection.isOpen) {
      if (this.#renewal.isSilent(now, this.#receivedAtMs)) this.#connection.drop('the server has fallen silent')
      this.#renewal.beat(now)
      dueMs = Math.min(dueMs, this.#renewal.dueMs(now))
    }
    if (this.#ledger.holdings.size > 0 || this.#mailbox.pending.size > 0) dueMs = Math.min(dueMs, this.#tickMs())
    if (dueMs < Number.POSITIVE_INFINITY) this.#wakeWithin(Math.max(1, dueMs), now.monotonicMs)
  }

  /** Requests whose answer is overdue: their outcome is unknown. Without a first welcome nothing waits longer than for that. */
  #endOverdue(nowMs: number): void {
    const { connectTimeoutMs } = this.#options
    for (const request of [...this.#mailbox.pending.values()]) {
      const timeoutMs = this.#hasBeenWelcomed
        ? request.timeoutMs()
        : Math.min(connectTimeoutMs, request.timeoutMs() ?? connectTimeoutMs)
      if (timeoutMs === null || nowMs - request.madeAtMs <= timeoutMs) continue
      const error = new UnavailableError(this.#unreachable())
      if (request instanceof AcquireRequest) request.abandon(error)
      if (!(request instanceof AcquireRequest) || request.sentAt === null) this.#mailbox.take(request.id)?.fail(error)
    }
  }

  #unreachable(): string {
    if (this.#connection.isOpen) return 'The service did not answer in time; the outcome is unknown.'
    const { lastFailure } = this.#connection
    const { url } = this.#options
    const why = lastFailure === '' ? '' : ` (${lastFailure})`
    return `Cannot reach the Holdfast service at ${url}${why}. Is it running? Start it with \`holdfast serve\`, or set HOLDFAST_URL.`
  }

  // ------------------------------------------------------------------------------------------------ the end

  /** Stops believing, ends the session at the server if it can be reached, and closes the connection. */
  async close(): Promise<void> {
    if (this.#isClosed) return
    void this.#ledger.loseAll('session_closed')
    for (const request of [...this.#mailbox.pending.values()]) {
      if (request instanceof AcquireRequest) request.abandon(new ClosedError())
    }
    if (this.#connection.isOpen) await this.#sayGoodbye()
    this.#isClosed = true
    this.#cancelWake()
    this.#connection.close()
    for (const request of [...this.#mailbox.pending.values()]) {
      if (request instanceof ReleaseRequest) request.moveToNewSession()
      else request.fail(new ClosedError())
    }
    this.#mailbox.pending.clear()
    for (const watcher of this.watchers) watcher.lost()
  }

  async #sayGoodbye(): Promise<void> {
    const { promise, resolve } = Promise.withResolvers<void>()
    const cancel = this.#clock.after(CLOSE_MS_MAX, resolve)
    // Whatever the answer, this side is done: the session would end by itself.
    this.submit(
      new PlainRequest(
        { id: 0, type: 'close' },
        { resolve: () => resolve(), reject: () => resolve(), survives: false },
      ),
    )
    await promise
    cancel()
  }
}

/** Whether the error says that the session itself no longer exists. */
function isSessionGone(wire: WireError, request?: Request): boolean {
  if (request === undefined || request instanceof RenewRequest) {
    return wire.code === 'not_found' || wire.code === 'lock_lost' || wire.code === 'unauthenticated'
  }
  return wire.code === 'not_found' && wire.what === 'session'
}
