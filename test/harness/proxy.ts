/**
 * A network that misbehaves on demand, between a client and one port: a plain TCP proxy on a port of its own. It knows nothing of what it
 * carries. Directions are named after what is lost: requests go to the target, replies come from it.
 */
import { type AddressInfo, connect, createServer, type Server, type Socket } from 'node:net'

export type Direction = 'requests' | 'replies'

export class FaultProxy {
  readonly #server: Server
  readonly #target: number
  readonly #pairs = new Set<{ client: Socket; target: Socket }>()
  readonly #swallowed = new Set<Direction>()
  readonly #held = new Set<Direction>()
  readonly #lines = new Set<Line>()
  #delayMs = 0
  #refuses = false
  /** Bytes that have been lost or are held, by direction: to know that a fault has struck. */
  readonly lost: Record<Direction, number> = { requests: 0, replies: 0 }
  connections = 0

  constructor(server: Server, target: number) {
    this.#server = server
    this.#target = target
    server.on('connection', socket => this.#accept(socket))
  }

  get port(): number {
    return (this.#server.address() as AddressInfo).port // it listens on a host and port
  }
  get url(): string {
    return `http://127.0.0.1:${this.port}`
  }

  /** What goes this way is lost, and the connection stays open: nobody is told. Both ways: half-open. */
  swallow(...directions: Direction[]): void {
    for (const direction of directions) this.#swallowed.add(direction)
  }
  /** What goes this way waits until `heal`. */
  hold(...directions: Direction[]): void {
    for (const direction of directions) this.#held.add(direction)
  }
  /** Every piece that comes from now on, both ways, and none before the one that came before it. */
  delay(ms: number): void {
    this.#delayMs = ms
  }
  /** Ends all connections, and refuses new ones until `heal`. */
  cut(): void {
    this.#refuses = true
    this.reset()
  }
  /** Ends all connections, as a crash does. */
  reset(): void {
    for (const { client, target } of this.#pairs) {
      client.resetAndDestroy()
      target.resetAndDestroy()
    }
  }
  /** No fault any more; what was held or delayed arrives. What was swallowed stays lost, so those connections are ended. */
  heal(): void {
    const wasSwallowing = this.#swallowed.size > 0
    this.#swallowed.clear()
    this.#held.clear()
    this.#delayMs = 0
    this.#refuses = false
    for (const line of this.#lines) line.flush()
    if (wasSwallowing) this.reset()
  }

  async close(): Promise<void> {
    this.reset()
    await new Promise(resolve => this.#server.close(resolve))
  }

  #accept(client: Socket): void {
    if (this.#refuses) return void client.resetAndDestroy()
    this.connections++
    const target = connect(this.#target, '127.0.0.1')
    const pair = { client, target }
    this.#pairs.add(pair)
    this.#carry(client, target, 'requests')
    this.#carry(target, client, 'replies')
    for (const [one, other] of [
      [client, target],
      [target, client],
    ] as const) {
      one.setNoDelay(true)
      // A connection that was reset is the fault that was asked for.
      one.on('error', () => other.destroy())
      one.on('close', () => {
        this.#pairs.delete(pair)
        other.destroy()
      })
    }
  }

  #carry(from: Socket, to: Socket, direction: Direction): void {
    const line = new Line(to)
    this.#lines.add(line)
    from.on('close', () => {
      this.#lines.delete(line)
      line.drop()
    })
    from.on('data', (data: Buffer) => {
      const isHeld = this.#held.has(direction)
      if (isHeld || this.#swallowed.has(direction)) this.lost[direction] += data.length
      if (this.#swallowed.has(direction)) return
      line.add(data, isHeld ? Number.POSITIVE_INFINITY : this.#delayMs)
    })
  }
}

/** One direction of one connection. What leaves it keeps its order, as it does over TCP: whatever waits, all that came later waits behind it. */
class Line {
  readonly #to: Socket
  readonly #pieces: { data: Buffer; dueMs: number }[] = []
  #timer: NodeJS.Timeout | undefined

  constructor(to: Socket) {
    this.#to = to
  }

  add(data: Buffer, delayMs: number): void {
    this.#pieces.push({ data, dueMs: performance.now() + delayMs })
    if (this.#pieces.length === 1) this.#move()
  }

  /** All of it, now. */
  flush(): void {
    for (const piece of this.#pieces) piece.dueMs = 0
    this.#move()
  }

  drop(): void {
    clearTimeout(this.#timer)
    this.#pieces.length = 0
  }

  #move(): void {
    clearTimeout(this.#timer)
    const nowMs = performance.now()
    while (this.#pieces[0] && this.#pieces[0].dueMs <= nowMs) {
      const { data } = this.#pieces.shift()!
      if (!this.#to.destroyed) this.#to.write(data)
    }
    const next = this.#pieces[0]
    if (next && Number.isFinite(next.dueMs)) this.#timer = setTimeout(() => this.#move(), next.dueMs - nowMs)
  }
}

/** Before a port of this machine. */
export async function startProxy(target: number): Promise<FaultProxy> {
  const server = createServer({ noDelay: true })
  await new Promise<void>(resolve => server.listen(0, '127.0.0.1', resolve))
  return new FaultProxy(server, target)
}
