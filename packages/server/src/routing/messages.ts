/**
 * What two servers say to each other: arrays of messages as JSON, like the frames of clients. Both ends run this code and have
 * proved that they belong to one cluster, so a message's shape is taken as given once its name is known.
 */
import { type ErrorCode, HoldfastError } from '@holdfast/protocol/errors'
import type { LockEvent } from '@holdfast/protocol/events'
import type { Clock } from '../clock.ts'
import type { Command, Refusal } from '../locks/model.ts'
import { NotTaken, Superseded } from '../shards/callers.ts'
import type { Answer, History, HistoryOptions, SessionPush, WatchFilter } from '../shards/port.ts'
import type { Transport } from './transport.ts'

/** `id` is the asker's, and names an ask, a watch, a listener or a reading until it is over. */
export type Asked =
  | { type: 'ask'; id: number; instance: string; command: Command; keeps?: true }
  | { type: 'watch'; id: number; instance: string; filter: WatchFilter }
  | { type: 'history'; id: number; instance: string; options: HistoryOptions }
  | { type: 'listen'; id: number; instance: string; session: string }
  /** The one who asked has gone. */
  | { type: 'stop'; id: number }
  /** Records have changed: look. */
  | { type: 'told' }

export type Said =
  | { type: 'answer'; id: number; answer: Answer }
  | { type: 'queued'; id: number; place: { ticket: number; session: string; position: number } }
  | { type: 'fail'; id: number; error: Failure }
  | { type: 'began' | 'reset'; id: number; cursor: string }
  | { type: 'event'; id: number; event: LockEvent }
  | { type: 'ended'; id: number; cursor?: string }
  | { type: 'refused'; id: number; refusal: Refusal }
  | { type: 'history'; id: number; history: History }
  | { type: 'push'; id: number; push: SessionPush }

export type Failure = {
  code: ErrorCode
  message: string
  details?: Record<string, unknown>
  notTaken?: true
  superseded?: true
}

export function failureOf(error: unknown): Failure {
  if (error instanceof NotTaken) return { code: error.code, message: error.message, notTaken: true }
  if (error instanceof Superseded) return { code: error.code, message: error.message, superseded: true }
  if (error instanceof HoldfastError) return { code: error.code, message: error.message, details: { ...error.details } }
  return { code: 'internal', message: 'The server that decides for this lock has failed.' }
}

export function errorOf({ code, message, details, notTaken, superseded }: Failure): HoldfastError {
  if (superseded) return new Superseded()
  return notTaken ? new NotTaken() : new HoldfastError(code, message, details ? { details } : {})
}

/** A frame leaves when it has this many messages: the other end reads the first while the others are being written … */
const MESSAGES_BEFORE_FLUSH = 64
/** … or when they are so long, in UTF-16 units: no frame is longer than that and one message more. */
export const FRAME_UNITS_MAX = 256 * 1024

/** What is said in one turn of the event loop leaves as one frame, or a few. */
export class Frames<Message> {
  readonly #transport: Transport
  readonly #clock: Clock
  /** As they will be sent, and how long they are together. */
  #texts: string[] = []
  #units = 0
  #isDue = false

  constructor(transport: Transport, clock: Clock) {
    this.#transport = transport
    this.#clock = clock
  }

  say(message: Message): void {
    const text = JSON.stringify(message)
    this.#texts.push(text)
    this.#units += text.length
    if (this.#texts.length >= MESSAGES_BEFORE_FLUSH || this.#units >= FRAME_UNITS_MAX) this.flush()
    else if (!this.#isDue) {
      this.#isDue = true
      this.#clock.afterPoll(() => this.flush())
    }
  }

  flush(): void {
    this.#isDue = false
    if (this.#texts.length === 0) return
    const frame = `[${this.#texts.join()}]`
    this.#texts = []
    this.#units = 0
    this.#transport.send(frame)
  }
}
