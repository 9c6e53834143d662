/** `GET /v2/connect`: from a request to a WebSocket, and what all connections share: liveness and the end of the server. */
import type { IncomingMessage, Server } from 'node:http'
import type { Duplex } from 'node:stream'
import { type ErrorCode, errors, HoldfastError } from '@holdfast/protocol/errors'
import { FRAME_BYTES_MAX } from '@holdfast/protocol/limits'
import { type WebSocket, WebSocketServer } from 'ws'
import { type Cancel, every } from '../../clock.ts'
import { callerOf, presentedBy } from '../caller.ts'
import type { Doors } from '../doors.ts'
import { dryRunRefusal } from '../dry-run.ts'
import { foreignOrigin } from '../origins.ts'
import { failed, headersOf, Refused } from '../reply.ts'
import { requestIds } from '../request-ids.ts'
import { whenKnown } from '../when-known.ts'
import { closeCodes } from './close-codes.ts'
import { Connection } from './connection.ts'
import type { Arrived } from './greeting.ts'

const PATH = '/v2/connect'
/** A connection that has been silent for two of these is half-open and is cut; a client has as long to say hello. */
const PING_MS = 15_000
/** Of thousands that are pinged each a system call is made. */
const SWEPT_AT_ONCE = 256

export class Connections {
  readonly #doors: Doors
  readonly #open = new Set<Connection>()
  readonly #sockets = new WebSocketServer({
    noServer: true,
    maxPayload: FRAME_BYTES_MAX,
    perMessageDeflate: false,
    clientTracking: false,
  })
  readonly #stopSweeping: Cancel

  constructor(doors: Doors) {
    this.#doors = doors
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
    const { peers } = this.#doors
    if (peers && request.url === peers.path) return peers.accept(request, socket, head)
    const { trace } = requestIds(request.headers, this.#doors.random)
    const turnedAway = (error: unknown) => turnAwayFor(socket, error, trace)
    try {
      const presented = presentedBy(request, this.#doors)
      const named = request.headers['holdfast-instance']
      const greeted = whenKnown(callerOf(this.#doors, presented, { named, trace }), caller => {
        if (presented.authorization !== undefined && !caller) return turnAway(socket, 'unauthenticated', trace)
        this.#let(request, { socket, head }, { caller, presented, named, trace })
      })
      if (greeted instanceof Promise) greeted.catch(turnedAway)
    } catch (error) {
      turnedAway(error)
    }
  }

  #let(request: IncomingMessage, { socket, head }: { socket: Duplex; head: Buffer }, arrived: Arrived): void {
    const { trace } = arrived
    if ((request.url ?? '').split('?')[0] !== PATH) return turnAway(socket, 'not_found', trace)
    if (!this.#doors.origins.permits(request.headers)) return turnAway(socket, 'forbidden', trace, foreignOrigin)
    const dryRun = dryRunRefusal(request.headers)
    if (dryRun) return turnAwayFor(socket, dryRun, trace)
    if (this.#doors.draining.isDraining) return turnAway(socket, 'unavailable', trace)
    this.#sockets.handleUpgrade(request, socket, head, websocket => this.#connected(websocket, arrived))
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

function turnAwayFor(socket: Duplex, error: unknown, trace: string): void {
  if (error instanceof Refused) return turnAway(socket, error.wire.code, trace, error.wire.message)
  if (error instanceof HoldfastError) return turnAway(socket, error.code, trace, failed(error).message)
  turnAway(socket, 'internal', trace)
}

/** A refusal before there is a WebSocket: plain HTTP. */
function turnAway(socket: Duplex, code: ErrorCode, trace: string, message: string = errors[code].summary): void {
  const body = JSON.stringify({ trace, errors: [{ code, message }] })
  const headers = {
    'content-type': 'application/json; charset=utf-8',
    'content-length': String(Buffer.byteLength(body)),
    'x-request-id': trace,
    connection: 'close',
    // None of these is a limit that is counted by the second.
    ...headersOf({ code }, 0),
  }
  const lines = Object.entries(headers).map(([name, value]) => `${name}: ${value}`)
  socket.end(`HTTP/1.1 ${errors[code].status} ${code}\r\n${lines.join('\r\n')}\r\n\r\n${body}`)
}
