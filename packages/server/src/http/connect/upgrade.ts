/** `GET /v2/connect`: from a request to a WebSocket, and what all connections share: liveness and the end of the server. */
import type { IncomingMessage, Server } from 'node:http'
import type { Duplex } from 'node:stream'
import { FRAME_BYTES_MAX } from '@holdfast/protocol/limits'
import { type WebSocket, WebSocketServer } from 'ws'
import { type Cancel, every } from '../../clock.ts'
import { apiVersion } from '../api-version.ts'
import { callerOf, presentedBy } from '../caller.ts'
import type { Doors } from '../doors.ts'
import { dryRunRefusal } from '../dry-run.ts'
import { originForm } from '../names.ts'
import { foreignOrigin } from '../origins.ts'
import { headersOf, invalid, Refused, refuse } from '../reply.ts'
import { requestIds } from '../request-ids.ts'
import { turnAway } from '../turn-away.ts'
import { whenKnown } from '../when-known.ts'
import { wireErrorOf } from '../wire-error.ts'
import { closeCodes } from './close-codes.ts'
import { Connection } from './connection.ts'
import type { Arrived } from './greeting.ts'

const PATH = '/v2/connect'
/** A connection that has been silent for two of these is half-open and is cut; a client has as long to say hello. */
const PING_MS = 15_000
/** Of thousands that are pinged each a system call is made. */
const SWEPT_AT_ONCE = 256

/** Whether the request is handed to whoever takes upgrades. Clients that would speak HTTP/2 offer theirs with every request, and go on without. */
export function isForWebSocket({ headers }: Pick<IncomingMessage, 'headers'>): boolean {
  return headers.upgrade?.trim().toLowerCase() === 'websocket'
}

export class Connections {
  readonly #doors: Doors
  readonly #open = new Set<Connection>()
  readonly #sockets = new WebSocketServer({
    noServer: true,
    maxPayload: FRAME_BYTES_MAX,
    perMessageDeflate: false,
    clientTracking: false,
  })
  readonly #answers = new WeakMap<IncomingMessage, Answering>()
  readonly #stopSweeping: Cancel

  constructor(doors: Doors) {
    this.#doors = doors
    this.#sockets.on('headers', (lines, request) => {
      const { trace, headers } = this.#answers.get(request)!
      for (const [name, value] of Object.entries({ 'x-request-id': trace, ...headers })) lines.push(`${name}: ${value}`)
    })
    this.#sockets.on('wsClientError', ({ message }, socket, request) => {
      const wrong = `The handshake is not one of WebSocket: ${message}.`
      this.#turnAway(
        request,
        socket,
        invalid('header', { name: /Sec-\S+/.exec(message)?.[0] ?? 'Upgrade', message: wrong }),
      )
    })
    this.#stopSweeping = every(doors.clock, PING_MS, () => this.#sweep())
  }

  /** Takes over the server's upgrades. */
  attach(server: Server): void {
    server.on('upgrade', (request, socket, head) => this.#upgrade(request, socket, head))
  }

  get count(): number {
    return this.#open.size
  }

  /** Tells every client that the server is about to stop. */
  goAway(): void {
    for (const connection of this.#open) connection.goAway()
  }

  close(): void {
    this.#stopSweeping()
    for (const connection of this.#open)
      connection.close(closeCodes.goingAway, 'The server is stopping: reconnect and resume.')
  }

  /** For the clients that did not go when told. */
  terminate(): void {
    for (const connection of this.#open) connection.terminate()
  }

  #upgrade(request: IncomingMessage, socket: Duplex, head: Buffer): void {
    socket.on('error', () => socket.destroy())
    request.url = originForm(request.url ?? '')
    const { peers } = this.#doors
    if (peers && request.url === peers.path) return peers.accept(request, socket, head)
    const answering = answerTo(this.#doors, request)
    const { trace } = answering
    this.#answers.set(request, answering)
    const turnedAway = (error: unknown) => this.#turnAway(request, socket, error)
    try {
      const presented = presentedBy(request, this.#doors)
      const named = request.headers['holdfast-instance']
      const greeted = whenKnown(callerOf(this.#doors, presented, { named, trace }), caller => {
        if (presented.authorization !== undefined && !caller) throw refuse('unauthenticated')
        const refusal = this.#refusal(request, answering)
        if (refusal) throw refusal
        const arrived = { caller, presented, named, trace }
        this.#sockets.handleUpgrade(request, socket, head, websocket => this.#connected(websocket, arrived))
      })
      if (greeted instanceof Promise) greeted.catch(turnedAway)
    } catch (error) {
      turnedAway(error)
    }
  }

  /** Who has come may be known; what is asked for is no connection. */
  #refusal({ url = '', method, headers }: IncomingMessage, answering: Answering): Refused | undefined {
    if (url.split('?')[0] !== PATH) return refuse('not_found')
    if (method !== 'GET') {
      answering.headers.allow = 'GET'
      return refuse('method_not_allowed', 'This path knows GET.')
    }
    if (!this.#doors.origins.permits(headers)) return refuse('forbidden', foreignOrigin)
    const refused = dryRunRefusal(headers) ?? answering.refused
    if (refused) return refused
    return this.#doors.draining.isDraining ? refuse('unavailable') : undefined
  }

  /** A refusal before there is a WebSocket: plain HTTP. */
  #turnAway(request: IncomingMessage, socket: Duplex, error: unknown): void {
    const { trace, headers } = this.#answers.get(request)!
    const wire = wireErrorOf(error, request)
    if (wire.code === 'internal') this.#doors.telemetry.failed(trace, error)
    // Nobody else reads this socket, so that its other end has gone would not be seen.
    socket.once('finish', () => socket.destroy())
    const own = headersOf(wire, this.#doors.clock.wallMs())
    turnAway(socket, { error: wire, trace, asked: request.headers, headers: { ...headers, ...own } })
  }

  #connected(websocket: WebSocket, arrived: Arrived): void {
    const connection = new Connection(websocket, this.#doors, arrived)
    this.#open.add(connection)
    this.#doors.telemetry.connectionOpened()
    websocket.once('close', () => {
      this.#open.delete(connection)
      this.#doors.telemetry.connectionClosed()
    })
  }

  /** Some at a time: the loop has other things to do. */
  #sweep(): void {
    const all = this.#open.values()
    const some = () => {
      for (let swept = 0; swept < SWEPT_AT_ONCE; swept++) {
        const { value: connection } = all.next()
        if (!connection) return
        this.#sweepOne(connection)
      }
      this.#doors.clock.afterPoll(some)
    }
    some()
  }

  #sweepOne(connection: Connection): void {
    if (!connection.isAlive) connection.terminate()
    // A pong keeps a connection alive that has yet to say hello; once is enough.
    else if (!connection.isGreeted && this.#waitedOnce.has(connection))
      connection.close(closeCodes.policy, 'No `hello` has come.')
    else {
      if (!connection.isGreeted) this.#waitedOnce.add(connection)
      connection.ping()
    }
  }

  readonly #waitedOnce = new WeakSet<Connection>()
}

/** What every answer to an upgrade carries, and why there is no such version of the API as it asks for. */
type Answering = { trace: string; headers: Record<string, string>; refused: Refused | undefined }

function answerTo({ random, clock }: Doors, { headers: asked }: IncomingMessage): Answering {
  const { trace, correlation } = requestIds(asked, random)
  const version = apiVersion(asked, clock.wallMs())
  const headers: Record<string, string> = {}
  if (correlation !== undefined) headers['x-correlation-id'] = correlation
  if (version instanceof Refused) return { trace, headers, refused: version }
  headers[version.header.toLowerCase()] = version.version
  return { trace, headers, refused: undefined }
}
