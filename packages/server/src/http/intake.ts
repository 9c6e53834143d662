/**
 * What clients send, handled for so long between two looks at everything else.
 *
 * The event loop hands over what lies in all sockets before it looks at a timer, or at the store, again. With tens of thousands of clients, on a
 * machine that is busy, that is seconds: a server that sends no beat for so long is declared dead, and whoever takes over has the same clients
 * (decision 0143). So what does not fit into one look waits for the next, in its order, frames and requests in one line. Of a WebSocket of which
 * something waits nothing more is read, so what waits is no more than one reading of each socket.
 */
import type { WebSocket } from 'ws'
import type { Clock } from '../clock.ts'

/** Of handling between two looks. A beat takes several of them. */
export const SLICE_MS = 20

export type Receiver = {
  received(data: unknown, isBinary: boolean): void
  /** The socket has ended, and nothing comes after. */
  gone(): void
}

/** What is used of a WebSocket. */
type Socket = Pick<WebSocket, 'on' | 'pause' | 'resume'>
/** `waiting`: how much of it waits. */
type Line = { socket: Socket; waiting: number }

export class Intake {
  readonly #clock: Pick<Clock, 'hrtimeMs' | 'afterPoll'>
  #waiting: { line: Line | null; handle(): void }[] = []
  /** The first that has not been handled. */
  #next = 0
  /** When the first since the last look was handled; null: none has been. */
  #sinceMs: number | null = null
  readonly #look = () => this.#goOn()

  constructor(clock: Pick<Clock, 'hrtimeMs' | 'afterPoll'>) {
    this.#clock = clock
  }

  /** Handles what came, at once or in its turn; by then its sender may have gone. */
  take(handle: () => void): void {
    if (this.#isInTime()) handle()
    else this.#waiting.push({ line: null, handle })
  }

  /** From now on `to` hears what comes from the socket, at once or in its turn. */
  listen(to: Receiver, socket: Socket): void {
    const line: Line = { socket, waiting: 0 }
    socket.on('message', (data, isBinary) => {
      if (this.#isInTime()) to.received(data, isBinary)
      else this.#wait(line, () => to.received(data, isBinary))
    })
    socket.on('close', () => {
      if (this.#isInTime()) to.gone()
      else this.#wait(line, () => to.gone())
    })
  }

  #isInTime(): boolean {
    // What came before is handled before.
    if (this.#next < this.#waiting.length) return false
    const nowMs = this.#clock.hrtimeMs()
    if (this.#sinceMs !== null) return nowMs - this.#sinceMs < SLICE_MS
    this.#sinceMs = nowMs
    this.#clock.afterPoll(this.#look)
    return true
  }

  #wait(line: Line, handle: () => void): void {
    if (line.waiting++ === 0) line.socket.pause()
    this.#waiting.push({ line, handle })
  }

  #goOn(): void {
    const sinceMs = this.#clock.hrtimeMs()
    let isInTime = true
    while (isInTime && this.#next < this.#waiting.length) {
      const { line, handle } = this.#waiting[this.#next++]!
      handle()
      if (line && --line.waiting === 0) line.socket.resume()
      isInTime = this.#clock.hrtimeMs() - sinceMs < SLICE_MS
    }
    this.#waiting.splice(0, this.#next)
    this.#next = 0
    if (this.#waiting.length > 0) this.#clock.afterPoll(this.#look)
    else this.#sinceMs = null
  }
}
