/** What nothing answers to. */
import type { FastifyReply, FastifyRequest } from 'fastify'
import { matches, pathOf } from './names.ts'
import { type Refused, refuse } from './reply.ts'

/** Known path, other method: 405 with the methods; else 404. */
export function noRoute(
  known: readonly { method: string; path: string }[],
  request: FastifyRequest,
  reply: FastifyReply,
): Refused {
  const segments = pathOf(request.raw.url ?? '').split('/')
  const ofPath = known.filter(({ path }) => matches(path.split('/'), segments))
  if (ofPath.length === 0) return refuse('not_found', 'There is no such path.')
  const methods = [...new Set(ofPath.map(({ method }) => method))].join(', ')
  reply.header('allow', methods)
  return refuse('method_not_allowed', `This path knows ${methods}.`)
}
