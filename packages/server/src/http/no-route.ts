/** What nothing answers to. */
import type { FastifyReply, FastifyRequest } from 'fastify'
import type { App } from './listener.ts'
import { matches, pathOf } from './names.ts'
import { type Refused, refuse } from './reply.ts'

/** Of paths without a parameter, which are asked about one by one. */
const METHODS = ['GET', 'HEAD', 'POST']

/** Known path, other method: 405 with the methods; else 404. `known` are the paths with parameters. */
export function noRoute(
  app: Pick<App, 'hasRoute'>,
  known: readonly { method: string; path: string }[],
  { request, reply }: { request: FastifyRequest; reply: FastifyReply },
): Refused {
  const path = pathOf(request.raw.url ?? '')
  const segments = path.split('/')
  const ofPath = known.filter(({ path: template }) => matches(template.split('/'), segments))
  const methods = new Set(ofPath.map(({ method }) => method))
  if (methods.size === 0) for (const method of METHODS) if (app.hasRoute({ method, url: path })) methods.add(method)
  if (methods.size === 0) return refuse('not_found', 'There is no such path.')
  const names = [...methods].join(', ')
  reply.header('allow', names)
  return refuse('method_not_allowed', `This path knows ${names}.`)
}
