/**
 * One WebSocket of a client: `hello` opens or resumes a session, then requests and replies in any order, and pushes.
 * This is the hot path. A request costs its share of one parse, one compiled check, one command and one object for the answer; no
 * promise, no closure.
 *
 * Losing the connection loses nothing: the session lives out its TTL, waits stay in line, and a repeat under the same id is answered.
 */
import type { HoldfastError, WireError } from '@holdfast/protocol/errors'
import type { ClientHello, ClientRequest, ServerMessage } from '@holdfast/protocol/frame'
import { hello, requests } from '@holdfast/protocol/frame-schemas'
import { CONNECTION_REQUESTS_MAX, FRAME_MESSAGES_MAX, TTL_MS_DEFAULT } from '@holdfast/protocol/limits'
import type { WebSocket } from 'ws'
import type { Caller } from '../../auth/caller.ts'
import type { Command } from '../../locks/model.ts'
import { unknownOutcome } from '../../shards/callers.ts'
import type { Answer, Asking, Submitted } from '../../shards/port.ts'
import type { Doors } from '../doors.ts'
import { failed, refused } from '../reply.ts'
import { bytesMisfit, type Misfit, type Validator, validator } from '../validate.ts'
import { timestamp, wireGrant } from '../views.ts'
import { actionOf, commandOf, type ShardRequest } from './commands.ts'
import { Deadlines } from './deadlines.ts'
import { Outbox } from './outbox.ts'
import { grantedReply, replyTo, wirePush } from './replies.ts'
import { ConnectionWatches } from './watches.ts'

/** WebSocket close codes (RFC 6455 and the IANA registry). */
export const closeCodes = {
  normal: 1000,
  goingAway: 1001,
  notText: 1003,
  malformed: 1007,
  policy: 1008,
  tooSlow: 1013,
} as const
/** A client that does not answer the close gets this long; then the socket is cut. */
const CLOSE_MS_MAX = 5_000
/** A refused client is told once; this often at most is a connection told that its messages are malformed. */
export const MALFORMED_MAX = 100
/**
 * A renewal is also how a client finds out whether its server is there, so it is answered within this: that the outcome is not known, if the shard has
 * no owner or its store does not answer. It is asked again, and nothing is lost by it.
 */
export const RENEWAL_MS_MAX = 1_000
/** How many more ids must be settled before the shard is told, beside renewals. */
const SETTLED_STEP = 256

const checkHello = validator(hello)
const checks = new Map<string, Validator<(typeof requests)[keyof typeof requests]>>(
  Object.entries(requests).map(([type, schema]) => [type, validator(schema)]),
)

type State = 'waiting' | 'greeting' | 'open' | 'closed'

export class Connection {
  readonly #socket: WebSocket
  readonly #address: string
  readonly #doors: Doors
  readonly #outbox: Outbox
  readonly #watches: ConnectionWatches
  readonly #pending = new Set<Pending>()
  readonly #renewals: Deadlines<Pending>
  #caller: Caller | null
  #state: State = 'waiting'
  #session = ''
  #early: unknown[] = []
  #malformed = 0
  #settled = 0
  #stopListening: (() => void) | null = null
  #stopCutting: (() => void) | null = null
  /** Something has come in since the last look. */
  isAlive = true

  /** @param address where the client is, for the audit trail */
  constructor(socket: WebSocket, doors: Doors, caller: Caller | null, address = '') {
    this.#address = address
    this.#socket = socket
    this.#doors = doors
    this.#caller = caller
    this.#outbox = new Outbox(socket, doors.clock, () =>
      this.close(closeCodes.tooSlow, 'The client does not read what it is sent.'),
    )
    this.#watches = new ConnectionWatches(doors, this)
    this.#renewals = new Deadlines({ clock: doors.clock, ms: RENEWAL_MS_MAX, late: pending => this.#late(pending) })
    socket.on('message', (data, isBinary) => this.#frame(data, isBinary))
    socket.on('pong', () => {
      this.isAlive = true
    })
    socket.on('close', () => this.#gone())
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

  #frame(data: unknown, isBinary: boolean): void {
    this.isAlive = true
    if (this.#socket.readyState !== this.#socket.OPEN) return
    if (isBinary) return this.close(closeCodes.notText, 'Frames are text: JSON arrays of messages.')
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
    this.#caller ??= this.#doors.authenticate(message.authorization)
    if (!this.#caller)
      return this.#reject({ code: 'unauthenticated', message: 'No credential, or one that is not valid here.' })
    if (!this.#caller.permits('session.open', null))
      return this.#reject({ code: 'forbidden', message: 'The credential does not permit sessions.' })
    const command = this.#helloCommand(message, this.#caller)
    if (!command) return this.#reject({ code: 'unauthenticated', message: 'The session secret is not valid.' })
    this.#state = 'greeting'
    this.#doors.shards.submit(this.#caller.instance, command, {
      answer: answer => this.#welcome(answer),
      fail: error => this.#reject(failed(error)),
    })
  }

  /** null: the secret of the session to resume is wrong. */
  #helloCommand(message: ClientHello, caller: Caller): Command | null {
    const by = caller.subject
    if (message.session === undefined) {
      const session = { ttlMs: message.ttl_ms ?? TTL_MS_DEFAULT, labels: message.labels ?? null }
      return { type: 'open_session', by, from: this.#address, ...session }
    }
    const session = this.#doors.secrets.open(caller.instance, message.session)
    if (session === null) return null
    const command: Extract<Command, { type: 'renew' }> = { type: 'renew', by, session, wantsGrants: true }
    if (message.ttl_ms !== undefined) command.ttlMs = message.ttl_ms
    return command
  }

  #welcome(answer: Answer): void {
    if (this.#state !== 'greeting' || !this.#caller) return
    if (!answer.ok) return this.#reject(refused(answer))
    const { shards, secrets, clock, serverId } = this.#doors
    const { instance } = this.#caller
    const welcomed = welcomeOf(answer)
    this.#session = welcomed.session
    this.#state = 'open'
    this.#stopListening = shards.listen(instance, this.#session, push => this.send(wirePush(push))).stop
    const message: ServerMessage = {
      type: 'welcome',
      session: { id: this.#session, secret: secrets.secretOf(instance, this.#session) },
      ttl_ms: welcomed.ttlMs,
      changes: welcomed.changes,
      server_time: timestamp(clock.wallMs()),
      server: serverId,
    }
    const ownerUrl = shards.ownerUrl(instance)
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
    if (!request || !this.#caller) return
    const error = this.#forbidden(request)
    if (error) return this.refuse(request.id, error)
    this.#settle(request)
    if (request.type === 'watch') return this.#watches.open(request, this.#caller.instance)
    if (request.type === 'unwatch') return this.#watches.close(request)
    if (this.#pending.size >= CONNECTION_REQUESTS_MAX) {
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
    const command = commandOf(request, this.#session, { by: this.#caller.subject })
    pending.submitted = this.#doors.shards.submit(this.#caller.instance, command, pending)
  }

  /** What its schema accepts; else the misfit has been answered. */
  #checked(message: unknown): ClientRequest | null {
    const named = (message ?? {}) as { type?: unknown; id?: unknown } // read as unknown fields of anything
    const check = typeof named.type === 'string' ? checks.get(named.type) : undefined
    if (check?.accepts(message)) {
      // The schemas and the types say the same: frame-schemas.test.ts.
      const request = message as ClientRequest
      const misfit = bytesMisfit(request)
      if (!misfit) return request
      this.refuse(request.id, misfitError(misfit))
      return null
    }
    this.#malformed++
    if (typeof named.id !== 'number' || !Number.isSafeInteger(named.id) || named.id < 1) {
      this.close(closeCodes.policy, 'A message has no id that could be answered.')
    } else if (this.#malformed > MALFORMED_MAX) {
      this.close(closeCodes.policy, 'Too many messages that are not valid.')
    } else {
      const types = [...checks.keys()].map(type => `"${type}"`).join(', ')
      this.refuse(
        named.id,
        misfitError(check ? check.misfit(message) : { name: 'type', message: `\`type\` must be one of ${types}.` }),
      )
    }
    return null
  }

  #forbidden(request: ClientRequest): WireError | null {
    const caller = this.#caller!
    const action = actionOf[request.type]
    const permitted = locksOf(request).every(lock => caller.permits(action, lock))
    const preempts = 'preempt' in request && request.preempt !== undefined && request.preempt !== 'never'
    if (permitted && !(preempts && !locksOf(request).every(lock => caller.permits('lock.preempt', lock)))) return null
    if (action === 'lock.read')
      return { code: 'not_found', message: 'There is no such lock: it is neither configured nor in use.' }
    return {
      code: 'forbidden',
      message: `The credential does not permit \`${permitted ? 'lock.preempt' : action}\` here.`,
    }
  }

  /** Renewals tell the shard what is settled; a connection that is busy with other things tells it now and then. */
  #settle(request: ClientRequest): void {
    const { settled } = request
    if (settled === undefined || settled < this.#settled + SETTLED_STEP) return
    this.#settled = settled
    if (request.type === 'renew' || !this.#caller) return
    this.#doors.shards.submit(
      this.#caller.instance,
      { type: 'renew', by: this.#caller.subject, session: this.#session, settled },
      unheard,
    )
  }

  /** Called by its requests. */
  answered(pending: Pending, answer: Answer): void {
    if (!this.#done(pending)) return
    const { request } = pending
    const isSet = request.type === 'acquire_all'
    if (isSet || request.type === 'acquire') {
      const outcome = answer.ok ? 'granted' : answer.code
      this.#doors.telemetry.acquireDone(outcome, answer.ok && answer.type === 'granted' ? answer.waitedMs : null)
    }
    if (answer.ok && answer.type === 'granted') this.send(grantedReply(request.id, answer, { isSet }))
    else this.send(replyTo(request.id, answer, this.#doors.clock.wallMs()))
    if (request.type === 'close' && answer.ok) this.close(closeCodes.normal, 'The session is closed.')
  }

  failed(pending: Pending, error: HoldfastError): void {
    if (this.#done(pending)) this.refuse(pending.request.id, failed(error))
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

  #gone(): void {
    this.#state = 'closed'
    this.#stopListening?.()
    this.#stopCutting?.()
    this.#watches.stop()
    this.#renewals.stop()
    for (const pending of this.#pending) pending.submitted?.detach()
    this.#pending.clear()
  }
}

/** A request on its way: what the shards answer. One object, for there are many. */
class Pending implements Asking {
  readonly #connection: Connection
  readonly request: ShardRequest
  submitted: Submitted | null = null

  constructor(connection: Connection, request: ShardRequest) {
    this.#connection = connection
    this.request = request
  }

  answer(answer: Answer): void {
    this.#connection.answered(this, answer)
  }

  fail(error: HoldfastError): void {
    this.#connection.failed(this, error)
  }

  queued(place: { position: number }): void {
    this.#connection.send({ type: 'queued', id: this.request.id, position: place.position })
  }
}

/** Whatever is answered here will be seen in the next renewal. */
const unheard: Asking = { answer: () => {}, fail: () => {} }

function welcomeOf(answer: Extract<Answer, { ok: true }>): { session: string; ttlMs: number; changes: number } {
  if (answer.type === 'session')
    return { session: answer.session.id, ttlMs: answer.session.ttlMs, changes: answer.session.changes }
  if (answer.type === 'renewed')
    return { session: answer.session, ttlMs: answer.confers.ttlMs, changes: answer.confers.changes }
  throw new Error(`hello is not answered with ${answer.type}`)
}

function misfitError({ name, message }: Misfit): WireError {
  return { code: 'invalid_request', message, target: { type: 'field', name } }
}

const noLock = [null]

function locksOf(request: ClientRequest): (string | null)[] {
  if (request.type === 'acquire_all') return request.locks.map(claim => claim.name)
  if (request.type === 'release_all') return request.grants.map(grant => grant.name)
  if ('name' in request && request.name !== undefined) return [request.name]
  return request.type === 'watch' ? [request.prefix ?? ''] : noLock
}
