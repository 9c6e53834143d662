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
import type { ServerMessage, WireGrant } from '@holdfast/protocol/frame'
import { AcquireRequest, CancelRequest } from './acquire.ts'
import { Alarm } from './alarm.ts'
import type { Clock, Instant } from './clock.ts'
import { Connection } from './connection.ts'
import { ClosedError, errorOf, UnavailableError } from './errors.ts'
import type { Holding } from './holding.ts'
import { Ledger } from './ledger.ts'
import { Mailbox } from './mailbox.ts'
import { type SessionEvent, type SessionOptions, socketUrlOf } from './options.ts'
import { handlePush } from './pushes.ts'
import type { Random } from './random.ts'
import { type GrantList, Renewal } from './renewal.ts'
import { type Body, PlainRequest, QuietRequest, RenewRequest, type Request, type SuccessReply } from './requests.ts'
import { helloOf, isAskedAgain, isForgottenWait, isSessionGone, outcomeOf, sayGoodbye, unexpected } from './resume.ts'
import type { Tasks } from './task.ts'
import type { OpenTransport } from './transport.ts'

/** While something is held or awaited the clocks are read at least this often: a suspended machine is noticed by that. */
const TICK_MS_MAX = 500
const TICK_MS_MIN = 20
const TICK_OF_TTL = 1 / 30

export type SessionParts = { openTransport: OpenTransport; clock: Clock; random: Random; tasks: Tasks }

/** What hears of the events of one watch. */
export type Watcher = { opened(): void; lost(): void; refused(error: HoldfastError): void }
export type WatchMessage = Extract<ServerMessage, { watch: number }>

type Welcome = Extract<ServerMessage, { type: 'welcome' }>

export class Session {
  readonly tasks: Tasks
  /** What is held. */
  readonly ledger: Ledger
  readonly watchers = new Set<Watcher>()
  /** By the id of the request that began the watch. */
  readonly watches = new Map<number, (message: WatchMessage) => void>()
  readonly #options: SessionOptions
  readonly clock: Clock
  readonly #random: Random
  readonly #connection: Connection
  readonly #mailbox: Mailbox
  readonly #renewal: Renewal
  #secret = ''
  #id = ''
  #helloSentAt: Instant | null = null
  #hasBeenWelcomed = false
  #refusal: HoldfastError | null = null // of the last hello
  #receivedAtMs = 0
  #isClosed = false
  #tasksMade = 0
  readonly #alarm: Alarm

  constructor(options: SessionOptions, parts: SessionParts) {
    this.#options = options
    this.clock = parts.clock
    this.#random = parts.random
    this.tasks = parts.tasks
    this.ledger = new Ledger(options.ttlMs, {
      failed: error => this.report({ type: 'listener_failed', error }),
      unwound: () => this.#renewal.acknowledge(),
    })
    this.#connection = new Connection({
      urls: options.socketUrls,
      ...parts,
      listener: {
        opened: () => this.#hello(),
        received: text => this.#receive(text),
        moved: () => this.#connectionMoved(),
        stayed: () => this.#begin(),
        lost: why => this.#connectionLost(why),
      },
    })
    this.#alarm = new Alarm(parts.clock, () => this.#wake())
    this.#mailbox = new Mailbox(parts.clock, text => this.#connection.send(text))
    this.#renewal = new Renewal({
      ledger: this.ledger,
      hasOthers: options.socketUrls.length > 1,
      submit: request => this.submit(request),
      failed: error => this.#renewalFailed(error),
      distrust: why => this.#connection.drop(why),
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

  newTask(): string {
    this.#tasksMade++
    return this.#tasksMade.toString(36)
  }

  report(event: SessionEvent): void {
    this.#options.onEvent?.(event)
  }

  // ------------------------------------------------------------------------------------------------ asking

  submit(request: Request): void {
    // While it is being closed, which may take long, what it had asked for is taken back; nothing more is to be had.
    if (this.#isClosed || (this.ledger.isClosed && request instanceof AcquireRequest)) {
      request.fail(new ClosedError())
      return
    }
    this.#mailbox.submit(request)
    this.#connection.start()
    this.#alarm.within(this.#tickMs(), request.madeAtMs)
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
    else this.submit(new CancelRequest(request))
  }

  giveBack(grants: readonly { name: string; token: number }[]): void {
    for (const { name, token } of grants) this.submit(new QuietRequest({ id: 0, type: 'release', name, token }))
  }

  // ------------------------------------------------------------------------------------------------ holding

  /** A grant of another session's making, from a list that was asked for at `sentAt`. */
  holdAsOf(grant: WireGrant, sentAt: Instant): Holding {
    return this.ledger.takeUp(grant, { firstSentAt: sentAt, sentAt, waitedMs: 0, now: this.clock.now() })
  }

  /** What remains by a reading made now. When nothing does, the lock is lost before this returns. */
  holdsForMs(holding: Holding): number {
    if (holding.lost || holding.isSuspended) return 0
    const now = this.clock.now()
    const remainingMs = this.ledger.remainingMs(holding, now)
    if (remainingMs <= 0) this.#checkDeadlines(now)
    return remainingMs
  }

  /** Gives `take` the grants that the server lists for this session and that nobody here holds, as they are when it is called. */
  unheldGrants<Taken>(take: (list: GrantList) => Taken): Promise<Taken> {
    return this.#renewal.list(({ grants, sentAt }) => take({ grants: this.ledger.unheld(grants), sentAt }))
  }

  #checkDeadlines(now: Instant): void {
    const lost = this.ledger.check(now, this.#connection.isOpen ? 'expired' : 'connection')
    for (const { holding, unwinding } of lost) {
      this.report({ type: 'lock_lost', error: holding.lost })
      // Nobody here believes in it any more: as soon as the work has stopped, whoever waits need not wait for the TTL.
      if (unwinding)
        unwinding
          .then(() => this.giveBack(holding.entries))
          .catch(error => this.report({ type: 'listener_failed', error }))
      else this.giveBack(holding.entries)
    }
  }

  // ------------------------------------------------------------------------------------------------ the connection

  #hello(): void {
    const hello = helloOf(this.#options, this.#id === '' ? null : `${this.#id}.${this.#secret}`)
    this.#helloSentAt = this.clock.now()
    this.#connection.send(JSON.stringify([hello]))
  }

  #connectionLost(why: string): void {
    this.#mailbox.shut()
    for (const renewal of this.#mailbox.takeSentRenewals())
      renewal.fail(new UnavailableError(`The connection was lost: ${why}.`))
    for (const watcher of this.watchers) watcher.lost()
    if (this.#hasBeenWelcomed) this.report({ type: 'disconnected', why })
    this.#alarm.within(this.#tickMs(), this.clock.monotonicMs())
  }

  /** Nothing went wrong: whoever asked is answered over the new one. */
  #connectionMoved(): void {
    this.#mailbox.shut()
    this.#renewal.forget(this.#mailbox.takeSentRenewals())
    for (const watcher of this.watchers) watcher.lost()
  }

  #receive(text: string): void {
    const now = this.clock.now()
    this.#receivedAtMs = now.monotonicMs
    // What has run out while this frame lay in the socket is lost before the frame can say anything.
    if (this.ledger.holdings.size > 0 && this.ledger.dueMs(now) <= 0) this.#checkDeadlines(now)
    let messages: ServerMessage[]
    try {
      // What the service sends is of its own making; a frame that is not JSON is answered by a new connection.
      messages = JSON.parse(text) as ServerMessage[]
      if (!Array.isArray(messages)) throw new Error('not an array of messages')
    } catch (error) {
      this.#connection.drop(`the server sent what is not JSON: ${String(error)}`)
      return
    }
    for (const message of messages) this.#handle(message, now)
    this.#alarm.within(this.#tickMs(), now.monotonicMs)
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
      case 'queued':
        return this.#mailbox.pending.get(message.id)?.queued(message.position)
      case 'preempting':
      case 'lost':
      case 'received':
      case 'expiring':
        return handlePush(message, {
          ledger: this.ledger,
          renewal: this.#renewal,
          now,
          report: event => this.report(event),
        })
      case 'event':
      case 'reset':
      case 'ended':
        this.watches.get(message.watch)?.(message)
        return
      case 'moved':
        return this.#connection.moveSoonTo(message.owner_url === undefined ? null : socketUrlOf(message.owner_url))
      case 'going_away':
        return this.#connection.drop('the server is going away')
    }
  }

  #welcome(message: Welcome, now: Instant): void {
    const isResumed = message.session.id === this.#id
    this.#id = message.session.id
    this.#secret = message.session.secret
    this.#hasBeenWelcomed = true
    this.#refusal = null
    const sentAt = this.#helloSentAt ?? now
    this.#connection.greeted()
    if (isResumed) this.#reconcile(message, { sentAt, now })
    else this.ledger.belief.restart(message.ttl_ms, message.changes)
    this.#renewal.restart({ acknowledged: isResumed ? 0 : message.changes, at: sentAt, isResumed })
    this.report({ type: isResumed ? 'session_resumed' : 'session_opened', session: this.#id, server: message.server })
    const ownerUrl = message.owner_url === undefined ? null : socketUrlOf(message.owner_url)
    // Nothing is asked here that would have to be asked there again.
    if (ownerUrl !== null && this.#connection.moveTo(ownerUrl)) return
    this.#connection.moveSoonTo(ownerUrl)
    this.#begin()
  }

  /** Where it is to be: it has been welcomed here. */
  #begin(): void {
    if (this.#mailbox.isOpen) return
    this.#mailbox.open()
    this.#renewal.begin()
    for (const watcher of this.watchers) watcher.opened()
  }

  /** Both sides have gone on without each other: the server's list is what is held, and what nobody here asked for is given back. */
  #reconcile(message: Welcome, at: { sentAt: Instant; now: Instant }): void {
    if (!message.grants) return
    const { unknown } = this.ledger.adopt(message.grants, { ...at, grantsSeen: this.ledger.grantsSeen })
    this.ledger.belief.processedChanges = message.changes
    this.giveBack(unexpected(unknown, this.#mailbox, token => this.ledger.wasTakenUp(token)))
  }

  #helloRefused(wire: WireError): void {
    const error = errorOf(wire)
    const beliefMs = this.#id === '' ? null : this.ledger.belief.remainingMs(this.clock.now())
    const outcome = outcomeOf(wire, beliefMs, this.#options)
    if (outcome === 'session gone') return this.#sessionEnded(wire, error.message)
    this.report({ type: 'refused', error })
    this.#refusal = error
    if (outcome === 'not now') return this.#connection.drop(error.message)
    this.#connection.rest(error.message)
    this.#mailbox.failAll(error)
    for (const watcher of this.watchers) watcher.refused(error)
  }

  // ------------------------------------------------------------------------------------------------ answers

  #succeed(reply: SuccessReply, now: Instant): void {
    const request = this.#mailbox.take(reply.id)
    if (!request) return
    // A renewal may bring the list that its own time depends on: it confers by itself.
    if (!(request instanceof RenewRequest)) this.#renewal.confer(request, reply, now)
    request.succeed(reply, now)
  }

  #refuse(id: number, wire: WireError): void {
    const request = this.#mailbox.pending.get(id)
    if (!request) return
    if (isSessionGone(wire, request)) return this.#sessionEnded(wire)
    if (isAskedAgain(wire, request)) {
      const nowMs = this.clock.monotonicMs()
      this.#renewal.refused(request, nowMs)
      return this.#alarm.within(this.#mailbox.retryLater(request, nowMs, this.#random), nowMs)
    }
    this.#mailbox.take(id)
    if (isForgottenWait(wire, request, this.#mailbox)) {
      // A wait that the server no longer knows by its id: what is left of it goes, and the line is joined anew.
      this.submit(new QuietRequest({ id: 0, type: 'cancel', request_id: id }))
      if (request.moveToNewSession()) this.submit(request)
      return
    }
    request.fail(errorOf(wire, request.name))
  }

  #renewalFailed(error: HoldfastError): void {
    this.ledger.warn(this.ledger.belief.remainingMs(this.clock.now()))
    this.report({ type: 'renewal_failed', error })
  }

  /** It no longer exists at the server, so nothing that it held does. Waits begin again in the next session. */
  #sessionEnded({ code, message }: WireError, why = message): void {
    this.#id = ''
    void this.ledger.loseAll(code === 'unauthenticated' ? 'unauthenticated' : 'expired')
    this.#mailbox.shut()
    this.#mailbox.moveToNewSession()
    this.report({ type: 'session_ended', why })
    this.#connection.drop(`the session has ended: ${why}`)
  }

  // ------------------------------------------------------------------------------------------------ time

  #tickMs(): number {
    return Math.min(TICK_MS_MAX, Math.max(TICK_MS_MIN, this.ledger.belief.ttlMs * TICK_OF_TTL))
  }

  #wake(): void {
    const now = this.clock.now()
    this.#checkDeadlines(now)
    this.#endOverdue(now.monotonicMs)
    let dueMs = Math.min(this.ledger.dueMs(now), this.#mailbox.retry(now.monotonicMs))
    if (this.#connection.isOpen) {
      this.#renewal.listen(now, {
        receivedAtMs: this.#receivedAtMs,
        unansweredSinceMs: this.#mailbox.unansweredSinceMs,
      })
      this.#renewal.beat(now)
      dueMs = Math.min(dueMs, this.#renewal.dueMs(now))
    }
    if (this.ledger.holdings.size > 0 || this.#mailbox.pending.size > 0) dueMs = Math.min(dueMs, this.#tickMs())
    if (dueMs < Number.POSITIVE_INFINITY) this.#alarm.within(Math.max(1, dueMs), now.monotonicMs)
  }

  #endOverdue(nowMs: number): void {
    const limitMs = this.#hasBeenWelcomed ? null : this.#options.connectTimeoutMs
    const unanswered = () => new UnavailableError(this.#connection.whyUnanswered(this.#options.url))
    this.#mailbox.endOverdue(nowMs, limitMs, () => this.#refusal ?? unanswered())
  }

  // ------------------------------------------------------------------------------------------------ the end

  /** Stops believing, ends the session at the server if it can be reached soon (until then others wait for what is held), and closes the connection. */
  async close(): Promise<void> {
    if (this.#isClosed) return
    const owes = this.#id !== '' && this.ledger.holdings.size + this.#mailbox.pending.size > 0
    void this.ledger.loseAll('session_closed')
    for (const request of this.#mailbox.all()) if (request instanceof AcquireRequest) request.abandon(new ClosedError())
    const withinMs = this.isOpen ? Number.POSITIVE_INFINITY : owes ? this.ledger.belief.restMs(this.clock.now()) : 0
    const hasEnded = withinMs > 0 && (await sayGoodbye(this, this.clock, withinMs))
    this.#isClosed = true
    this.#alarm.stop()
    this.#connection.close()
    this.#mailbox.close(hasEnded)
    for (const watcher of this.watchers) watcher.lost()
  }
}
