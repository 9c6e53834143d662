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
  readonly #waiting: { to: Socket; data: Buffer }[] = []
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
  /** Every piece, both ways. */
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
  /** No fault any more; what was held arrives. What was swallowed stays lost, so those connections are ended. */
  heal(): void {
    const wasSwallowing = this.#swallowed.size > 0
    this.#swallowed.clear()
    this.#held.clear()
    this.#delayMs = 0
    this.#refuses = false
    for (const { to, data } of this.#waiting.splice(0)) if (!to.destroyed) to.write(data)
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
    from.on('data', (data: Buffer) => {
      if (this.#swallowed.has(direction)) this.lost[direction] += data.length
      else if (this.#held.has(direction)) {
        this.lost[direction] += data.length
        this.#waiting.push({ to, data })
      } else if (this.#delayMs > 0) setTimeout(() => !to.destroyed && to.write(data), this.#delayMs)
      else to.write(data)
    })
  }
}

/** Before a port of this machine. */
export async function startProxy(target: number): Promise<FaultProxy> {
  const server = createServer({ noDelay: true })
  await new Promise<void>(resolve => server.listen(0, '127.0.0.1', resolve))
  return new FaultProxy(server, target)
}
