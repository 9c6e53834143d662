/**
 * Connections between servers: WebSockets on the servers' own port. Before anything else is said both ends prove that they know the key of the
 * cluster, and which start of which server they are: an address may have come to another server, or another cluster.
 *
 * The dialler waits for `{ server, nonce }`, answers `{ server, nonce, proof }`, and waits for `{ proof }`. A proof is an HMAC over both nonces
 * and both names under a key derived from the cluster's, so it is good for this connection only. What is said afterwards is as private as the
 * transport: TLS wherever it is more than a machine of one's own.
 */
import { createHmac, timingSafeEqual } from 'node:crypto'
import type { IncomingMessage } from 'node:http'
import type { Socket } from 'node:net'
import type { Duplex } from 'node:stream'
import { WebSocket, WebSocketServer } from 'ws'
import type { Clock } from '../clock.ts'
import { type Random, randomHex } from '../random.ts'
import { type AcceptedLink, AcceptedLinks } from './accepted-links.ts'
import type { Here } from './cluster-shards.ts'
import { Links, type Member } from './links.ts'
import type { Dial, Transport, TransportEvents } from './transport.ts'

/** Where servers meet; nobody else has any business there. */
export const PEER_PATH = '/internal/peer'
/** Until both have proved who they are. */
const HANDSHAKE_MS = 2_000
/** A connection on which nothing has come in for two of these is half-open and is cut. */
const PING_MS = 1_000
/** A page of a thousand locks with all their metadata, and then some. */
const PEER_FRAME_BYTES_MAX = 256 * 1024 * 1024
/** The other end does not read: it is cut, and what was under way is unknown. */
const BUFFERED_BYTES_MAX = 256 * 1024 * 1024
const NONCE_BYTES = 16
/** What is said before the proof: names and nonces. Of a stranger nothing longer is even read. */
export const GREETING_BYTES_MAX = 4 * 1024

export type SocketOptions = {
  here: Here
  clock: Clock
  random: Random
  /** PEM, of the authorities that the other servers' certificates are checked against, asked for at each connection; null: those of the system. */
  authorities: () => string | null
}

/** What the server does with the connections of others, and how it makes its own. */
export class PeerSockets extends Links {
  readonly #options: SocketOptions
  readonly #key: Buffer
  readonly #accepted = new Set<WebSocket>()
  readonly #links: AcceptedLinks
  readonly #sockets = new WebSocketServer({
    noServer: true,
    maxPayload: PEER_FRAME_BYTES_MAX,
    perMessageDeflate: false,
    clientTracking: false,
  })

  constructor(options: SocketOptions) {
    const key = createHmac('sha256', options.here.meta.clusterKey).update('peers').digest()
    super(options.clock, member => dialler({ ...options, key }, member))
    this.#options = options
    this.#key = key
    this.#links = new AcceptedLinks({ ...options.here, clock: options.clock })
  }

  override close(): void {
    super.close()
    for (const socket of this.#accepted) socket.terminate()
  }

  /** An upgrade on `PEER_PATH`. */
  accept(request: IncomingMessage, socket: Duplex, head: Buffer): void {
    const stopCounting = cutBeyond(socket, GREETING_BYTES_MAX)
    this.#sockets.handleUpgrade(request, socket, head, websocket => {
      const transport = this.#greet(websocket, stopCounting)
      // A connection of a server of `node:http` or `node:tls`.
      transport.carrier = socket as Socket
    })
  }

  #greet(socket: WebSocket, proved: () => void): SocketTransport {
    const { here, clock, random } = this.#options
    const nonce = randomHex(random, NONCE_BYTES)
    this.#accepted.add(socket)
    let accepted: AcceptedLink | null = null
    const transport: SocketTransport = new SocketTransport(socket, clock, {
      opened: () => undefined,
      frame: text => {
        if (accepted) return accepted.heard(text)
        const { server, nonce: theirs, proof } = parse(text)
        if (!isSame(proof, proofOf(this.#key, 'dial', [nonce, theirs, server, here.server]))) return transport.close()
        socket.send(JSON.stringify({ proof: proofOf(this.#key, 'accept', [nonce, theirs, server, here.server]) }))
        transport.proved()
        proved()
        accepted = this.#links.accept(server, transport)
      },
      closed: () => {
        this.#accepted.delete(socket)
        accepted?.closed()
      },
    })
    socket.send(JSON.stringify({ server: here.server, nonce }))
    return transport
  }
}

function dialler(
  { here, clock, random, authorities, key }: SocketOptions & { key: Buffer },
  { server, address }: Member,
): Dial {
  return events => {
    const url = `${address.replace(/^http/, 'ws')}${PEER_PATH}`
    const ca = authorities()
    const socket = new WebSocket(url, {
      perMessageDeflate: false,
      maxPayload: PEER_FRAME_BYTES_MAX,
      handshakeTimeout: HANDSHAKE_MS,
      ...(ca !== null && { ca }),
    })
    let expected: string | null = null
    const transport: SocketTransport = new SocketTransport(socket, clock, {
      opened: () => undefined,
      frame: text => {
        if (transport.isProved) return events.frame(text)
        const said = parse(text)
        if (expected === null) {
          // Another start of that server, or another one under its address.
          if (said.server !== server) return transport.close()
          const nonce = randomHex(random, NONCE_BYTES)
          const names = [said.nonce, nonce, here.server, server]
          expected = proofOf(key, 'accept', names)
          socket.send(JSON.stringify({ server: here.server, nonce, proof: proofOf(key, 'dial', names) }))
          return
        }
        if (!isSame(said.proof, expected)) return transport.close()
        transport.proved()
        events.opened()
      },
      closed: () => events.closed(),
    })
    socket.once('upgrade', ({ socket: carrier }) => {
      transport.carrier = carrier
    })
    return transport
  }
}

function proofOf(key: Buffer, side: 'dial' | 'accept', parts: string[]): string {
  return createHmac('sha256', key)
    .update(JSON.stringify([side, ...parts]))
    .digest('hex')
}

/** A WebSocket with a pulse. Until it is proved it has only so much time. */
class SocketTransport implements Transport {
  readonly #socket: WebSocket
  readonly #clock: Clock
  #cancelTimer: () => void
  #isAlive = true
  isProved = false
  /** Where the bytes come from: those of a large frame that is still arriving are life too. Known once the connection stands. */
  carrier: Socket | null = null
  #bytesRead = 0

  constructor(socket: WebSocket, clock: Clock, events: TransportEvents) {
    this.#socket = socket
    this.#clock = clock
    this.#cancelTimer = clock.after(HANDSHAKE_MS * 2, () => this.close())
    socket.on('message', data => {
      this.#isAlive = true
      try {
        events.frame(String(data))
      } catch {
        // Not what this code at the other end would say; the socket's end is what both sides see of it.
        this.close()
      }
    })
    socket.on('pong', () => {
      this.#isAlive = true
    })
    // `close` follows.
    socket.on('error', () => undefined)
    socket.once('close', () => {
      this.#cancelTimer()
      events.closed()
    })
  }

  proved(): void {
    this.isProved = true
    this.#cancelTimer()
    this.#ping()
  }

  send(frame: string): void {
    if (this.#socket.readyState !== WebSocket.OPEN) return
    this.#socket.send(frame)
    if (this.#socket.bufferedAmount > BUFFERED_BYTES_MAX) this.close()
  }

  close(): void {
    this.#socket.terminate()
  }

  #ping(): void {
    // After what lies in the socket has been read: this process may have been the one that paused.
    const look = () => {
      if (this.#socket.readyState !== WebSocket.OPEN) return
      const bytesRead = this.carrier?.bytesRead ?? 0
      if (!this.#isAlive && bytesRead === this.#bytesRead) return this.close()
      this.#bytesRead = bytesRead
      this.#isAlive = false
      this.#socket.ping()
      this.#ping()
    }
    this.#cancelTimer = this.#clock.after(PING_MS, () => this.#clock.afterPoll(look))
  }
}

/** Ends the connection when more has come in than that, before anybody has looked at it. Until the returned function is called. */
function cutBeyond(socket: Duplex, bytesMax: number): () => void {
  let bytes = 0
  const count = (chunk: Buffer) => {
    bytes += chunk.length
    if (bytes > bytesMax) socket.destroy()
  }
  socket.on('data', count)
  return () => void socket.off('data', count)
}

/** @throws when it is nothing that a server would say */
function parse(text: string): { server: string; nonce: string; proof: string } {
  if (text.length > GREETING_BYTES_MAX) throw new Error('too long for a greeting')
  const said = (JSON.parse(text) ?? {}) as Record<string, unknown> // read as unknown fields of anything
  const field = (name: string) => (typeof said[name] === 'string' ? (said[name] as string) : '')
  return { server: field('server'), nonce: field('nonce'), proof: field('proof') }
}

/** In a time that does not depend on where the two differ. */
function isSame(one: string, other: string): boolean {
  const [given, wanted] = [Buffer.from(one), Buffer.from(other)]
  return given.length === wanted.length && timingSafeEqual(given, wanted)
}
