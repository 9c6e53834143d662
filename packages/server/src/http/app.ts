/**
 * The REST door: from bytes to an operation's handler, and back. The order of checks is fixed (ECOSYSTEM 1.6): credential, length of
 * the path, path and method, permission, headers and body. Whatever goes wrong on the way leaves as the error container.
 */
import type { IncomingMessage, ServerResponse } from 'node:http'
import type { WireError } from '@holdfast/protocol/errors'
import { BODY_BYTES_MAX, CONNECTIONS_MAX } from '@holdfast/protocol/limits'
import { type FastifyError, type FastifyReply, type FastifyRequest, fastify } from 'fastify'
import { apiVersion } from './api-version.ts'
import { addBroker, brokerPaths, isOfBroker } from './broker/index.ts'
import { sendRefusal } from './broker/refusal.ts'
import type { Route } from './call.ts'
import { identified } from './caller.ts'
import { isForWebSocket } from './connect/upgrade.ts'
import { container } from './container.ts'
import type { Doors } from './doors.ts'
import { dryRunRefusal } from './dry-run.ts'
import { turnAwayExhausted } from './exhausted.ts'
import { addIdentity } from './identity.ts'
import type { App, Tls } from './listener.ts'
import { matches, originForm, pathOf, withoutSlash } from './names.ts'
import { noRoute } from './no-route.ts'
import { preflightHeaders } from './origins.ts'
import { headersOf, invalid, Refused, refuse } from './reply.ts'
import { requestIds } from './request-ids.ts'
import { addOperations } from './routes.ts'
import { addService } from './service.ts'
import { turnAwayUnread } from './unreadable.ts'
import { parseJson } from './validate.ts'
import { whenKnown } from './when-known.ts'
import { wireErrorOf } from './wire-error.ts'

/** A longer path is 414 (API Handbook). */
export const PATH_BYTES_MAX = 8_000
/** All header fields together; Node answers more with 431. */
export const HEADER_BYTES_MAX = 16 * 1024
/** Headers must have arrived in this time, and the whole request in that; whoever is slower holds a socket for nothing. */
const HEADERS_MS_MAX = 10_000
const REQUEST_MS_MAX = 30_000
/** How often sockets are looked at for the two above. */
const SLOW_CHECK_MS = 2_000
/** Longer than the 60 s that common load balancers keep idle connections, so that they close first. */
const KEEP_ALIVE_MS = 75_000

/** `routes` are the operations of all versions. */
export function createApp(doors: Doors, routes: readonly Route[], tls: Tls | null): App {
  const http = {
    maxHeaderSize: HEADER_BYTES_MAX,
    connectionsCheckingInterval: SLOW_CHECK_MS,
    headersTimeout: HEADERS_MS_MAX,
    // Any other is only offered, and what offers it is a request like any.
    shouldUpgradeCallback: isForWebSocket,
    // Refused here, in our own words.
    requireHostHeader: false,
  }
  // Fastify's types tell http and https apart; nothing here does.
  const app = fastify({
    ...(tls ? { https: { ...http, ...tls } } : { http }),
    bodyLimit: BODY_BYTES_MAX,
    requestTimeout: REQUEST_MS_MAX,
    keepAliveTimeout: KEEP_ALIVE_MS,
    exposeHeadRoutes: false,
    return503OnClosing: false,
    forceCloseConnections: 'idle',
    clientErrorHandler: (error: { code: string }, socket: Parameters<typeof turnAwayUnread>[1]) =>
      turnAwayUnread(error.code, socket, doors),
    frameworkErrors: (error: FastifyError, request: FastifyRequest, reply: FastifyReply) =>
      void badUrl(doors, error, request, reply),
    routerOptions: { maxParamLength: PATH_BYTES_MAX, querystringParser: () => ({}) },
  } as object) as unknown as App
  app.server.maxConnections = CONNECTIONS_MAX
  lookFirst(app, doors)
  app.decorateRequest('caller', null)
  const endpoints = [...routes.map(({ operation }) => operation), ...brokerPaths]
  app.addHook('onRequest', (request, reply, done) => {
    const admitted = (refused: Error | undefined) => {
      // A browser asks before it sends; nothing of ours is named by the method.
      const isPreflight = !refused && doors.origins.isPreflight(request.method, request.headers)
      const elsewhere = refused || isPreflight ? null : movedTo(app, routes, request)
      if (elsewhere !== null) return void reply.code(301).header('location', elsewhere).send()
      if (isPreflight) return void reply.code(204).headers(preflightHeaders).send()
      // Before a body is read: of what nobody takes it does not matter what it is.
      done(refused ?? (request.is404 ? noRoute(app, endpoints, { request, reply }) : undefined))
    }
    void whenKnown(admit(doors, request, reply), admitted)
  })
  app.addHook('onResponse', (request, reply, done) => {
    report(doors, request, reply)
    done()
  })
  app.setErrorHandler((error: FastifyError, request, reply) => sendError(doors, error, request, reply))
  readBodies(app)
  addOperations(app, doors, routes)
  addService(app, doors)
  addIdentity(app, doors)
  addBroker(app, doors)
  return app
}

/** Before Fastify does anything with a request: it waits for its turn, and what it costs must not depend on what it would have been. */
function lookFirst(app: App, doors: Doors): void {
  const { server } = app
  // Of this event there are no other listeners yet.
  const handlers = server.listeners('request') as ((request: IncomingMessage, response: ServerResponse) => void)[]
  server.removeAllListeners('request')
  // What a client demands beside `100-continue` is refused with the other first checks.
  server.on('checkExpectation', (request, response) => server.emit('request', request, response))
  server.on('request', (request, response) => {
    request.url = originForm(request.url ?? '')
    doors.intake.take(() => {
      if (!turnAwayExhausted(doors, request, response))
        for (const handle of handlers) handle.call(server, request, response)
    })
  })
}

type Refusal = Error | undefined

/** The first checks of every request, whether it has a route or not. Neither throws nor rejects. */
function admit(doors: Doors, request: FastifyRequest, reply: FastifyReply): Refusal | Promise<Refusal> {
  try {
    request.ids = requestIds(request.headers, doors.random)
    request.beganMs = doors.clock.hrtimeMs()
    reply.header('x-request-id', request.ids.trace)
    if (request.ids.correlation !== undefined) reply.header('x-correlation-id', request.ids.correlation)
    reply.headers(doors.origins.headersFor(request.headers))
    const unfit = unfitHead(request.raw)
    if (unfit) return unfit
    if (doors.origins.isPreflight(request.method, request.headers)) return undefined
    const path = pathOf(request.raw.url ?? '')
    // By the route that it has found, however that was spelled; where there is none, as it was written.
    const place = request.routeOptions?.url ?? path
    if (!/^\/v[0-9]+\//.test(place) || /^\/v[12]\/openapi\.json$/.test(place))
      return tooLong(path) ?? dryRunRefusal(request.headers)
    // Said to whoever is refused, too.
    const unknownVersion = versioned(doors, request, reply)
    const admitted = whenKnown(
      identify(doors, request),
      () => tooLong(path) ?? dryRunRefusal(request.headers) ?? unknownVersion,
    )
    return admitted instanceof Promise ? admitted.catch(errorOf) : admitted
  } catch (error) {
    return errorOf(error)
  }
}

/** What HTTP/1.1 itself demands of a request, and what of it is not to be had here. */
function unfitHead({ httpVersion, headers: { host, expect } }: IncomingMessage): Refusal {
  if (httpVersion !== '1.1') return undefined
  if (host === undefined) return invalid('header', { name: 'Host', message: '`Host` is missing.' })
  if (expect === undefined || /^100-continue$/i.test(expect)) return undefined
  return invalid('header', { name: 'Expect', message: '`Expect` knows `100-continue` only.' })
}

/** Throws or rejects when nobody is proved, or the instance may not be entered. */
function identify(doors: Doors, request: FastifyRequest): void | Promise<void> {
  const { reachesGone = false } = request.routeOptions.config
  const asked = { named: request.headers['holdfast-instance'], reachesGone }
  return whenKnown(identified(doors, request, asked), caller => {
    request.caller = caller
  })
}

function tooLong(path: string): Refusal {
  return path.length > PATH_BYTES_MAX ? refuse('path_too_long') : undefined
}

/** Sets the version on the reply, or says why there is no such one. */
function versioned(doors: Doors, request: FastifyRequest, reply: FastifyReply): Refusal {
  const asked = apiVersion(request.headers, doors.clock.wallMs())
  if (asked instanceof Refused) return asked
  reply.header(asked.header, asked.version)
  return undefined
}

function errorOf(error: unknown): Error {
  return error instanceof Error ? error : new Error(String(error))
}

/** The path is not even percent-encoded text: it has no route, but the same first checks. */
function badUrl(doors: Doors, error: FastifyError, request: FastifyRequest, reply: FastifyReply): void {
  const why = error.code === 'FST_ERR_BAD_URL' ? new Refused(badPath) : error
  const send = isOfBroker(request.raw.url ?? '') ? sendRefusal : sendError
  void whenKnown(admit(doors, request, reply), refused => void send(doors, refused ?? why, request, reply))
}

const badPath: WireError = {
  code: 'invalid_request',
  message: 'The path is not well-formed percent-encoded UTF-8.',
  target: { type: 'parameter', name: 'path' },
}

/** Own parsers: well-formed UTF-8, exact messages, and `__proto__` left for the schema to refuse. */
function readBodies(app: App): void {
  app.removeAllContentTypeParsers()
  app.addContentTypeParser(
    ['application/json', 'application/merge-patch+json'],
    { parseAs: 'buffer' },
    (_request, body, done) => {
      try {
        // `parseAs` says what `body` is.
        const bytes = body as Buffer
        done(null, bytes.length === 0 ? undefined : parseJson(bytes))
      } catch (error) {
        const message = error instanceof SyntaxError ? error.message : 'The body cannot be read.'
        done(new Refused({ code: 'invalid_request', message, target: { type: 'field', name: 'body' } }))
      }
    },
  )
}

/** What would be there without the `/` at its end (API Handbook); null: nothing, or it has none. */
function movedTo(app: App, routes: readonly Route[], request: FastifyRequest): string | null {
  const to = withoutSlash(request.raw.url ?? '')
  if (!to) return null
  const segments = to.path.split('/')
  // Only to what is ours: the path begins with what the caller wrote, and `//other.example` would be another's.
  const isOurs = routes.some(({ operation }) => matches(operation.path.split('/'), segments))
  return isOurs || app.hasRoute({ method: 'GET', url: to.path }) ? to.url : null
}

function sendError(doors: Doors, error: unknown, request: FastifyRequest, reply: FastifyReply): FastifyReply {
  const wire = wireErrorOf(error, request.raw)
  const { trace } = request.ids
  if (wire.code === 'internal') doors.telemetry.failed(trace, error)
  for (const [name, value] of Object.entries(headersOf(wire, doors.clock.wallMs()))) reply.header(name, value)
  const { status, type, text } = container(request.headers, wire, trace)
  return reply.code(status).header('content-type', type).send(text)
}

function report(doors: Doors, request: FastifyRequest, reply: FastifyReply): void {
  doors.telemetry.requestDone({
    trace: request.ids.trace,
    correlation: request.ids.correlation,
    traceparent: request.ids.traceparent,
    method: request.method,
    // The template, never the path: names of locks have no bound.
    route: request.routeOptions.url ?? 'none',
    status: reply.statusCode,
    ms: doors.clock.hrtimeMs() - request.beganMs,
  })
}
