/**
 * One WebSocket of a client: `hello` opens or resumes a session, then requests and replies in any order, and pushes.
 * This is the hot path. A request costs its share of one parse, one compiled check, one command and one object for the answer; no
 * promise, no closure.
 *
 * Losing the connection loses nothing: the session lives out its TTL, waits stay in line, and a repeat under the same id is answered.
 */
import type { HoldfastError, WireError } from '@holdfast/protocol/errors'
import type { ClientHello, ClientRequest, ServerMessage } from '@holdfast/protocol/frame'
import { hello } from '@holdfast/protocol/frame-schemas'
import { CONNECTION_REQUESTS_MAX, FRAME_MESSAGES_MAX } from '@holdfast/protocol/limits'
import type { WebSocket } from 'ws'
import type { Command } from '../../locks/model.ts'
import type { Verdict } from '../../policies/port.ts'
import { unknownOutcome } from '../../shards/callers.ts'
import type { Answer } from '../../shards/port.ts'
import type { Outcome } from '../../telemetry/metrics.ts'
import type { Caller } from '../caller.ts'
import type { Doors } from '../doors.ts'
import { InOrder } from '../in-order.ts'
import type { Receiver } from '../intake.ts'
import { sees } from '../permission.ts'
import { failed, refused } from '../reply.ts'
import { shutOut } from '../standing.ts'
import { validator } from '../validate.ts'
import { timestamp, wireGrant } from '../views.ts'
import { whenKnown } from '../when-known.ts'
import { Beside } from './beside.ts'
import { checkMessage, misfitError } from './checking.ts'
import { closeCodes } from './close-codes.ts'
import { commandOf } from './commands.ts'
import { Deadlines } from './deadlines.ts'
import {
  type Arrived,
  giveUp,
  greeterOf,
  helloCommand,
  inOneWord,
  twoSessions,
  welcomeOf,
  wireErrorOf,
} from './greeting.ts'
import { Outbox } from './outbox.ts'
import { Pending, unheard } from './pending.ts'
import { type Entrance, mayStay, messageRefusal } from './permitting.ts'
import { grantedReply, replyTo, wirePush } from './replies.ts'
import { ConnectionWatches } from './watches.ts'

/** A client that does not answer the close gets this long; then the socket is cut. */
const CLOSE_MS_MAX = 5_000
/** A frame of somebody who has proved nothing yet: a `hello` with the longest token, and requests behind it. What is longer is not even parsed. */
export const HELLO_CHARS_MAX = 64 * 1024
/** A refused client is told once; this often at most is a connection told that its messages are malformed. */
export const MALFORMED_MAX = 100
/**
 * A renewal is also how a client finds out whether its server is there, so it is answered within this: that the outcome is not known, if the shard has
 * no owner or its store does not answer. It is asked again, and nothing is lost by it.
 */
export const RENEWAL_MS_MAX = 1_000

const checkHello = validator(hello)

type State = 'waiting' | 'greeting' | 'open' | 'closed'

export class Connection implements Receiver {
  readonly #socket: WebSocket
  readonly #arrived: Arrived
  readonly #doors: Doors
  readonly #outbox: Outbox
  readonly #watches: ConnectionWatches
  readonly #pending = new Set<Pending>()
  readonly #renewals: Deadlines<Pending>
  readonly #beside: Beside
  #caller: Caller | null
  #state: State = 'waiting'
  #session = ''
  /** Of the session, as far as it is known here: the longest that was asked for, or told by an answer. */
  #ttlMs = 0
  #early: unknown[] = []
  /** Requests, and why each is refused, if it is. */
  readonly #order = new InOrder<ClientRequest, WireError | null>({
    ask: request => this.#refusalOf(request),
    take: (request, refusal) => this.#decided(request, refusal),
  })
  #malformed = 0
  #stopListening: (() => void) | null = null
  #leave: (() => void) | null = null
  #stopCutting: (() => void) | null = null
  #isShut = false
  /** Something has come in since the last look. */
  isAlive = true

  constructor(socket: WebSocket, doors: Doors, arrived: Arrived) {
    this.#arrived = arrived
    this.#socket = socket
    this.#doors = doors
    this.#caller = arrived.caller
    this.#outbox = new Outbox(socket, doors.clock, () =>
      this.close(closeCodes.tooSlow, 'The client does not read what it is sent.'),
    )
    this.#watches = new ConnectionWatches(doors, this)
    this.#renewals = new Deadlines({ clock: doors.clock, ms: RENEWAL_MS_MAX, late: pending => this.#late(pending) })
    this.#beside = new Beside(doors.clock, told => this.#renew(told))
    doors.intake.listen(this, socket)
    socket.on('pong', () => {
      this.isAlive = true
    })
    // `close` follows, and says all there is to say.
    socket.on('error', error => doors.telemetry.happened('websocket error', { reason: error.message }))
  }

  get isGreeted(): boolean {
    return this.#state === 'open'
  }

  /** False: the client reads too slowly and has been cut off. */
  send(message: ServerMessage): boolean {
    return this.#outbox.send(message)
  }

  goAway(): void {
    this.send({ type: 'going_away' })
    this.#outbox.flush()
  }

  close(code: number, reason: string): void {
    this.#isShut = true
    this.#outbox.flush()
    this.#socket.close(code, reason)
    this.#stopCutting ??= this.#doors.clock.after(CLOSE_MS_MAX, () => this.#socket.terminate())
  }

  ping(): void {
    this.isAlive = false
    this.#socket.ping()
  }

  terminate(): void {
    this.#socket.terminate()
  }

  /** An answer to a request, or to what should have been one. */
  refuse(id: number, error: WireError): void {
    this.send({ type: 'reply', id, error })
  }

  received(data: unknown, isBinary: boolean): void {
    this.isAlive = true
    if (this.#isShut) return
    if (isBinary) return this.close(closeCodes.notText, 'Frames are text: JSON arrays of messages.')
    if (this.#caller === null && String(data).length > HELLO_CHARS_MAX)
      return this.close(closeCodes.policy, `Without a credential a frame has at most ${HELLO_CHARS_MAX} characters.`)
    let messages: unknown
    try {
      messages = JSON.parse(String(data))
    } catch {
      // What is wrong with it is the sender's to find out: the frame is named by being the one before the close.
      return this.close(closeCodes.malformed, 'A frame is not valid JSON.')
    }
    if (!Array.isArray(messages)) return this.close(closeCodes.malformed, 'A frame must be a JSON array of messages.')
    if (messages.length > FRAME_MESSAGES_MAX)
      return this.close(closeCodes.policy, `A frame has at most ${FRAME_MESSAGES_MAX} messages.`)
    for (const message of messages) this.#message(message)
  }

  #message(message: unknown): void {
    switch (this.#state) {
      case 'open':
        return this.#request(message)
      case 'waiting':
        return this.#hello(message)
      case 'greeting':
        // Sent before the welcome has arrived: kept, within what one frame may carry.
        if (this.#early.length < FRAME_MESSAGES_MAX) this.#early.push(message)
        else this.close(closeCodes.policy, 'Wait for `welcome` before sending more.')
        return
      case 'closed':
        return
    }
  }

  // ---------------------------------------------------------------------------------------------- hello

  #hello(message: unknown): void {
    if (!checkHello.accepts(message)) return this.#reject(misfitError(checkHello.misfit(message)))
    const hello = inOneWord(message)
    if (!hello) return this.#reject(misfitError(twoSessions))
    this.#state = 'greeting'
    const failed = (error: unknown) => this.#reject(wireErrorOf(error))
    try {
      const greeted = whenKnown(greeterOf(this.#doors, hello, this.#arrived), caller => this.#greet(hello, caller))
      if (greeted instanceof Promise) greeted.catch(failed)
    } catch (error) {
      failed(error)
    }
  }

  #greet(message: ClientHello, caller: Caller | null): void | Promise<void> {
    if (this.#state !== 'greeting') return
    if (!caller)
      return this.#reject({ code: 'unauthenticated', message: 'No credential, or one that is not valid here.' })
    const ended = shutOut(this.#doors, caller)
    if (ended) return this.#reject(ended.wire)
    this.#caller = caller
    const asked = { request: message, trace: this.#arrived.trace, ttlMs: 0 }
    return whenKnown(messageRefusal(this.#doors, caller, asked), error => this.#begin(message, caller, error))
  }

  #begin(message: ClientHello, caller: Caller, error: WireError | null): void {
    if (error) return this.#reject(error)
    const command = helloCommand(this.#doors, message, { caller, trace: this.#arrived.trace })
    if (!command) return this.#reject({ code: 'unauthenticated', message: 'The session secret is not valid.' })
    this.#doors.shards.submit(caller.instance, command, {
      answer: answer => this.#welcome(answer),
      fail: error => this.#reject(failed(error)),
    })
  }

  #welcome(answer: Answer): void {
    if (this.#state !== 'greeting' || !this.#caller) return giveUp(this.#doors, this.#caller, answer)
    if (!answer.ok) return this.#reject(refused(answer))
    const { shards, secrets, clock, serverId } = this.#doors
    const { instance } = this.#caller
    const welcomed = welcomeOf(answer)
    this.#session = welcomed.session
    this.#ttlMs = welcomed.ttlMs
    this.#state = 'open'
    this.#leave = this.#doors.standing.add({
      caller: this.#caller,
      isPermitted: () => this.#stands(answer.type === 'renewed' ? 'session.renew' : 'session.open'),
      end: reason => this.close(closeCodes.ended, reason),
    })
    const ownerOf = () => shards.ownerUrl(instance)
    this.#stopListening = shards.listen(instance, this.#session, push => this.send(wirePush(push, ownerOf))).stop
    const message: ServerMessage = {
      type: 'welcome',
      session: { id: this.#session, secret: secrets.secretOf(instance, this.#session) },
      ttl_ms: welcomed.ttlMs,
      changes: welcomed.changes,
      server_time: timestamp(clock.wallMs()),
      server: serverId,
    }
    const ownerUrl = ownerOf()
    if (ownerUrl !== null) message.owner_url = ownerUrl
    if (answer.type === 'renewed') message.grants = (answer.grants ?? []).map(wireGrant)
    this.send(message)
    const early = this.#early
    this.#early = []
    for (const request of early) this.#message(request)
  }

  #reject(error: WireError): void {
    this.refuse(0, error)
    this.close(closeCodes.policy, error.code)
  }

  // ---------------------------------------------------------------------------------------------- requests

  #request(message: unknown): void {
    const request = this.#checked(message)
    if (!request) return this.#beside.heard(this.#ttlMs)
    if (this.#order.waiting < FRAME_MESSAGES_MAX) this.#order.add(request)
    else this.close(closeCodes.policy, 'Too many messages while a permission is being looked up.')
  }

  /** A decision point does not reject: what it cannot decide is refused. */
  #refusalOf(request: ClientRequest): WireError | null | Promise<WireError | null> {
    if (!this.#caller || this.#state !== 'open') return null
    return messageRefusal(this.#doors, this.#caller, { request, trace: this.#arrived.trace, ttlMs: this.#ttlMs })
  }

  #decided(request: ClientRequest, error: WireError | null): void {
    const caller = this.#caller
    if (!caller || this.#state !== 'open') return
    if (error) {
      this.#beside.heard(this.#ttlMs)
      return this.refuse(request.id, error)
    }
    if (request.type === 'renew' && request.ttl_ms !== undefined) this.#ttlMs = Math.max(this.#ttlMs, request.ttl_ms)
    this.#beside.asked(request, this.#ttlMs)
    if (request.type === 'watch') return this.#watches.open(request, caller)
    if (request.type === 'unwatch') return this.#watches.close(request)
    if (this.#pending.size >= CONNECTION_REQUESTS_MAX) {
      this.#beside.heard(this.#ttlMs)
      return this.refuse(request.id, {
        code: 'quota_exceeded',
        message: `A connection has at most ${CONNECTION_REQUESTS_MAX} requests in flight.`,
        limit: 'connection_requests',
        max: CONNECTION_REQUESTS_MAX,
      })
    }
    const pending = new Pending(this, request)
    this.#pending.add(pending)
    if (request.type === 'renew') this.#renewals.add(pending)
    const command = commandOf(request, this.#session, { by: caller.subject })
    pending.submitted = this.#doors.shards.submit(caller.instance, command, pending)
  }

  /** Whether the connection may stay; waits for what is permitted no more are given up on the way. */
  #stands(entrance: Entrance): Verdict | Promise<Verdict> {
    const caller = this.#caller
    if (!caller) return false
    const { trace } = this.#arrived
    for (const pending of this.#pending)
      if (pending.ticket !== null) {
        const asked = { request: pending.request, trace, ttlMs: this.#ttlMs }
        void whenKnown(messageRefusal(this.#doors, caller, asked), error => error && this.#giveUp(pending, error))
      }
    return mayStay(this.#doors, caller, entrance)
  }

  #giveUp(pending: Pending, error: WireError): void {
    const caller = this.#caller
    if (!caller || !this.#done(pending)) return
    this.refuse(pending.request.id, error)
    const { subject: by, instance } = caller
    const { ticket, request } = pending
    const leave: Command | null = ticket === null ? null : { type: 'abandon', by, ticket }
    // If it has been granted meanwhile, that is given back.
    const cancel: Command = { type: 'cancel', by, session: this.#session, cancels: request.id, request: null }
    // Of what nobody could say the client asks again, and is not to be told then that it has been taken back.
    this.#doors.shards.submit(instance, (error.code === 'unavailable' && leave) || cancel, unheard)
  }

  /** What its schema accepts; else the misfit has been answered. */
  #checked(message: unknown): ClientRequest | null {
    const { request, id, error, isUnknown } = checkMessage(message)
    if (request) return request
    if (isUnknown) this.#malformed++
    if (id === null) this.close(closeCodes.policy, 'A message has no id that could be answered.')
    else if (this.#malformed > MALFORMED_MAX) this.close(closeCodes.policy, 'Too many messages that are not valid.')
    else this.refuse(id, error)
    return null
  }

  #renew(told: { settled?: number }): void {
    if (!this.#caller || this.#state !== 'open') return
    const { subject: by, instance } = this.#caller
    this.#doors.shards.submit(instance, { type: 'renew', by, session: this.#session, ...told }, unheard)
  }

  /** Called by its requests. */
  answered(pending: Pending, answer: Answer): void {
    if (!this.#done(pending)) return
    const { request } = pending
    this.#beside.answered(pending, answer, this.#ttlMs)
    // It may have been lengthened elsewhere.
    if (answer.ok && 'confers' in answer) this.#ttlMs = Math.max(this.#ttlMs, answer.confers?.ttlMs ?? 0)
    const isSet = request.type === 'acquire_all'
    this.#count(pending, answer.ok ? 'granted' : answer.code, answer)
    if (answer.ok && answer.type === 'granted') this.send(grantedReply(request.id, answer, { isSet }))
    else this.send(replyTo(request.id, answer, { wallMs: this.#doors.clock.wallMs(), sees: this.#sees }))
    if (request.type === 'close' && answer.ok) this.close(closeCodes.normal, 'The session is closed.')
  }

  /** For names that come up in the answer to something else. */
  readonly #sees = (lock: string): boolean =>
    this.#caller !== null && sees(this.#doors, this.#caller, { action: 'lock.read', lock })

  failed(pending: Pending, error: HoldfastError): void {
    if (!this.#done(pending)) return
    const told = failed(error)
    this.#count(pending, told.code)
    this.refuse(pending.request.id, told)
  }

  /** An acquire, by how it ended: also one of which nobody can say what became of it. */
  #count({ request }: Pending, outcome: Outcome, answer?: Answer): void {
    if (!this.#caller || (request.type !== 'acquire' && request.type !== 'acquire_all')) return
    const waitedMs = answer?.ok && answer.type === 'granted' ? answer.waitedMs : null
    this.#doors.telemetry.acquireDone(this.#caller.instance, outcome, waitedMs)
  }

  #late(pending: Pending): void {
    if (!this.#done(pending)) return
    pending.submitted?.detach()
    this.refuse(pending.request.id, failed(unknownOutcome()))
  }

  /** Whether it had not been answered before. */
  #done(pending: Pending): boolean {
    if (pending.request.type === 'renew') this.#renewals.delete(pending)
    return this.#pending.delete(pending)
  }

  gone(): void {
    this.#state = 'closed'
    this.#stopListening?.()
    this.#leave?.()
    this.#stopCutting?.()
    this.#watches.stop()
    this.#renewals.stop()
    for (const pending of this.#pending) pending.submitted?.detach()
    this.#pending.clear()
  }
}
