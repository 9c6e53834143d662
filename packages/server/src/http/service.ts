/** What everybody may ask without a credential: is it alive, is it ready, how is it doing, and what can be asked. */
import { readFileSync } from 'node:fs'
import { createRequire } from 'node:module'
import { dirname, join } from 'node:path'
import { openApi } from '@holdfast/protocol/openapi'
import type { FastifyReply, FastifyRequest } from 'fastify'
import type { Doors } from './doors.ts'
import type { App } from './listener.ts'
import { metrics } from './metrics.ts'
import { landingPage, referencePage, referenceScript } from './pages-html.ts'

/** The files of the interactive reference, from the package and not from somebody's network. */
const referenceFiles: Record<string, string> = {
  'swagger-ui.css': 'text/css; charset=utf-8',
  'swagger-ui-bundle.js': 'text/javascript; charset=utf-8',
  'favicon-32x32.png': 'image/png',
}
/** The pages run their own scripts and styles and talk to this server, nothing else. Swagger UI sets styles on elements. */
const PAGE_POLICY =
  "default-src 'none'; script-src 'self'; style-src 'self' 'unsafe-inline'; img-src 'self' data:; connect-src 'self'; base-uri 'none'; frame-ancestors 'none'"

export function addService(app: App, doors: Doors): void {
  offer(app, '/livez', (_request, reply) => text(reply, 'text/plain', 'alive\n'))
  offer(app, '/readyz', (_request, reply) => ready(doors, reply))
  offer(app, '/metrics', (request, reply) => metrics(doors, request, reply))
  for (const version of ['v1', 'v2'] as const) {
    const document = JSON.stringify(openApi(version, doors.release))
    offer(app, `/${version}/openapi.json`, (_request, reply) => text(reply, 'application/json', document))
  }
  offer(app, '/', (_request, reply) => page(reply, landingPage(doors.release)))
  offer(app, '/docs', (_request, reply) => page(reply, referencePage))
  offer(app, '/docs/reference.js', (_request, reply) => text(reply, 'text/javascript', referenceScript))
  const directory = dirname(createRequire(import.meta.url).resolve('swagger-ui-dist/package.json'))
  for (const [name, type] of Object.entries(referenceFiles)) {
    offer(app, `/docs/${name}`, (_request, reply) => {
      reply.header('cache-control', 'max-age=3600')
      return text(reply, type, readFileSync(join(directory, name)))
    })
  }
}

/** Balancers probe with HEAD: the answer is that to GET, without its body. */
function offer(app: App, url: string, handler: Handler): void {
  app.route({ method: ['GET', 'HEAD'], url, handler })
}

type Handler = (request: FastifyRequest, reply: FastifyReply) => FastifyReply | Promise<FastifyReply>

/** For `/readyz` and for the metric that says the same. */
export function readinessOf({ shards, draining }: Pick<Doors, 'shards' | 'draining'>): {
  isReady: boolean
  /** Why it is not. */
  reason: string
} {
  if (draining.isAnnounced) return { isReady: false, reason: 'stopping' }
  const { isReady, reason } = shards.health()
  return { isReady, reason: reason ?? 'unknown' }
}

function ready(doors: Doors, reply: FastifyReply): FastifyReply {
  const { isReady, reason } = readinessOf(doors)
  if (isReady) return text(reply, 'text/plain', 'ready\n')
  return text(reply.code(503), 'text/plain', `not ready: ${reason}\n`)
}

function page(reply: FastifyReply, html: string): FastifyReply {
  return text(
    reply.header('content-security-policy', PAGE_POLICY).header('referrer-policy', 'no-referrer'),
    'text/html',
    html,
  )
}

function text(reply: FastifyReply, type: string, content: string | Buffer): FastifyReply {
  return reply
    .header('content-type', type.includes('charset') || type.startsWith('image/') ? type : `${type}; charset=utf-8`)
    .header('x-content-type-options', 'nosniff')
    .send(content)
}
