/** A request of a connection on its way. */
import type { HoldfastError } from '@holdfast/protocol/errors'
import type { ServerMessage } from '@holdfast/protocol/frame'
import type { Answer, Asking, Submitted } from '../../shards/port.ts'
import type { ShardRequest } from './commands.ts'

/** The connection, as its requests know it. */
type Outlet = {
  answered(pending: Pending, answer: Answer): void
  failed(pending: Pending, error: HoldfastError): void
  send(message: ServerMessage): boolean
}

/** A request on its way: what the shards answer. One object, for there are many. */
export class Pending implements Asking {
  readonly #connection: Outlet
  readonly request: ShardRequest
  submitted: Submitted | null = null
  /** Its place in line, once it is not answered at once. */
  ticket: number | null = null

  constructor(connection: Outlet, request: ShardRequest) {
    this.#connection = connection
    this.request = request
  }

  answer(answer: Answer): void {
    this.#connection.answered(this, answer)
  }

  fail(error: HoldfastError): void {
    this.#connection.failed(this, error)
  }

  queued(place: { ticket: number; position: number }): void {
    this.ticket = place.ticket
    this.#connection.send({ type: 'queued', id: this.request.id, position: place.position })
  }
}

/** Nobody waits for it: what becomes of it is seen in the next renewal, or when the time of the session is over. */
export const unheard: Asking = { answer: () => undefined, fail: () => undefined }
