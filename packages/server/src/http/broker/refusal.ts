/** How the broker says no: `{error, description}`. Of what OSB has no word for, the code of our own table in OSB's spelling. */
import { errors } from '@holdfast/protocol/errors'
import type { FastifyReply, FastifyRequest } from 'fastify'
import type { Doors } from '../doors.ts'
import { headersOf, Refused } from '../reply.ts'
import { wireErrorOf } from '../wire-error.ts'

/** What OSB has a word, and a status, of its own for. */
export class BrokerRefusal extends Refused {
  readonly status: number
  readonly error: string
  constructor(status: number, error: string, description: string) {
    super({ code: 'invalid_request', message: description })
    this.status = status
    this.error = error
  }
}

export function sendRefusal(doors: Doors, error: unknown, request: FastifyRequest, reply: FastifyReply): FastifyReply {
  if (error instanceof BrokerRefusal)
    return reply.code(error.status).send({ error: error.error, description: error.message })
  const { code, message, ...rest } = wireErrorOf(error, request.raw)
  if (code === 'internal') doors.telemetry.failed(request.ids.trace, error)
  reply.headers(headersOf({ code, ...rest }, doors.clock.wallMs()))
  return reply.code(errors[code].status).send({ error: pascal(code), description: message })
}

function pascal(code: string): string {
  return code.replaceAll(/(?:^|_)([a-z])/g, (_, letter: string) => letter.toUpperCase())
}
