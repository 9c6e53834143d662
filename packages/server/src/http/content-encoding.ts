/** Bodies are taken as they are: what they would unfold to has no bound that is known before. */
import type { FastifyReply, FastifyRequest } from 'fastify'
import { refuse } from './reply.ts'

/** @throws {Refused} with the header that tells this 415 from that of another type (RFC 9110, 12.5.3) */
export function refuseEncoding({ headers }: FastifyRequest, reply: FastifyReply): void {
  const encoding = headers['content-encoding']
  if (encoding === undefined || /^\s*(identity\s*)?$/i.test(encoding)) return
  reply.header('accept-encoding', 'identity')
  throw refuse('unsupported_media_type', 'Bodies are taken as they are, without `Content-Encoding`: not compressed.')
}
