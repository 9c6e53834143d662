/**
 * What waits to be sent on one connection. Everything that is answered in one turn of the event loop leaves as one frame, so a
 * batch of the log that answers a hundred requests of a client costs one system call. A client that does not read is cut off.
 */
import type { ServerMessage } from '@holdfast/protocol/frame'
import { OUTBOX_BYTES_MAX } from '@holdfast/protocol/limits'
import type { WebSocket } from 'ws'
import type { Clock } from '../../clock.ts'

/** A frame leaves when it has this many messages, however busy the turn: the client reads the first while the others are being written. */
const MESSAGES_BEFORE_FLUSH = 64

export class Outbox {
  readonly #socket: WebSocket
  readonly #clock: Clock
  /** The client reads too slowly: called once. */
  readonly #overflow: () => void
  #messages: ServerMessage[] = []
  #isFlushDue = false
  #isOverflown = false

  constructor(socket: WebSocket, clock: Clock, overflow: () => void) {
    this.#socket = socket
    this.#clock = clock
    this.#overflow = overflow
  }

  /** False once the buffer is full: nothing more will be sent. */
  send(message: ServerMessage): boolean {
    if (this.#isOverflown) return false
    this.#messages.push(message)
    if (this.#messages.length >= MESSAGES_BEFORE_FLUSH) this.flush()
    else if (!this.#isFlushDue) {
      this.#isFlushDue = true
      this.#clock.afterPoll(() => this.flush())
    }
    return !this.#isOverflown
  }

  flush(): void {
    this.#isFlushDue = false
    if (this.#messages.length === 0 || this.#isOverflown) return
    const frame = JSON.stringify(this.#messages)
    this.#messages = []
    if (this.#socket.readyState !== this.#socket.OPEN) return
    // Looked at before: one answer may be long, and is no sign that nobody reads.
    if (this.#socket.bufferedAmount <= OUTBOX_BYTES_MAX) return this.#socket.send(frame)
    this.#isOverflown = true
    this.#overflow()
  }
}
