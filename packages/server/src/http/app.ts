/**
 * The REST door: from bytes to an operation's handler, and back. The order of checks is fixed (ECOSYSTEM 1.6): credential, length of
 * the path, path and method, permission, headers and body. Whatever goes wrong on the way leaves as the error container.
 */
import type { IncomingMessage, ServerResponse } from 'node:http'
import { type ErrorCode, errors, type WireError } from '@holdfast/protocol/errors'
import { BODY_BYTES_MAX, CONNECTIONS_MAX } from '@holdfast/protocol/limits'
import { type FastifyError, type FastifyReply, type FastifyRequest, fastify } from 'fastify'
import { apiVersion } from './api-version.ts'
import { addBroker, isOfBroker } from './broker/index.ts'
import { sendRefusal } from './broker/refusal.ts'
import type { Route } from './call.ts'
import { identified } from './caller.ts'
import type { Doors } from './doors.ts'
import { dryRunRefusal } from './dry-run.ts'
import { turnAwayExhausted } from './exhausted.ts'
import { addIdentity } from './identity.ts'
import type { App, Tls } from './listener.ts'
import { matches, pathOf, withoutSlash } from './names.ts'
import { noRoute } from './no-route.ts'
import { preflightHeaders } from './origins.ts'
import { headersOf, Refused, refuse } from './reply.ts'
import { requestIds } from './request-ids.ts'
import { addOperations } from './routes.ts'
import { addService } from './service.ts'
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
    clientErrorHandler: (error: { code: string }, socket: Parameters<typeof turnAway>[1]) =>
      turnAway(error.code, socket, doors),
    frameworkErrors: (error: FastifyError, request: FastifyRequest, reply: FastifyReply) =>
      void badUrl(doors, error, request, reply),
    routerOptions: { maxParamLength: PATH_BYTES_MAX, querystringParser: () => ({}) },
  } as object) as unknown as App
  app.server.maxConnections = CONNECTIONS_MAX
  lookFirst(app, doors)
  app.decorateRequest('caller', null)
  app.addHook('onRequest', (request, reply, done) => {
    const admitted = (refused: Error | undefined) => {
      // A browser asks before it sends; nothing of ours is named by the method.
      const isPreflight = !refused && doors.origins.isPreflight(request.method, request.headers)
      const elsewhere = refused || isPreflight ? null : movedTo(app, routes, request)
      if (elsewhere !== null) return void reply.code(301).header('location', elsewhere).send()
      if (!isPreflight) return done(refused)
      void reply.code(204).headers(preflightHeaders).send()
    }
    void whenKnown(admit(doors, request, reply), admitted)
  })
  app.addHook('onResponse', (request, reply, done) => {
    report(doors, request, reply)
    done()
  })
  const endpoints = routes.map(({ operation }) => operation)
  app.setErrorHandler((error: FastifyError, request, reply) => sendError(doors, error, request, reply))
  app.setNotFoundHandler((request, reply) => sendError(doors, noRoute(endpoints, request, reply), request, reply))
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
  server.on('request', (request, response) =>
    doors.intake.take(() => {
      if (!turnAwayExhausted(doors, request, response))
        for (const handle of handlers) handle.call(server, request, response)
    }),
  )
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
  const wire = wireErrorOf(error)
  const { trace } = request.ids
  if (wire.code === 'internal') doors.telemetry.failed(trace, error)
  const { status } = errors[wire.code]
  for (const [name, value] of Object.entries(headersOf(wire, doors.clock.wallMs()))) reply.header(name, value)
  const container = { trace, errors: [wire] }
  if (!String(request.headers.accept ?? '').includes('application/problem+json')) {
    return reply.code(status).header('content-type', 'application/json; charset=utf-8').send(JSON.stringify(container))
  }
  const problem = { type: 'about:blank', title: wire.code, status, detail: wire.message, ...container }
  return reply
    .code(status)
    .header('content-type', 'application/problem+json; charset=utf-8')
    .send(JSON.stringify(problem))
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

const clientErrors: Record<string, { status: string; code: ErrorCode }> = {
  HPE_HEADER_OVERFLOW: { status: '431 Request Header Fields Too Large', code: 'headers_too_large' },
  ERR_HTTP_REQUEST_TIMEOUT: { status: '408 Request Timeout', code: 'invalid_request' },
}

/** The socket of a failure that never became a request; of TLS, with what was wrong with the certificate of the client. */
type Unread = { writable: boolean; authorizationError?: unknown; end(text: string): void; destroy(): void }

/**
 * Node takes what OpenSSL noted of the signature of a client's certificate for a failure of the connection, though a certificate that is not good is
 * let pass here (decision 0095). It cannot be read on, but whoever it is can be told.
 */
function unreadMessage(nodeCode: string, { authorizationError }: Unread): string {
  if (/^ERR_O?SSL_/.test(nodeCode) && authorizationError === 'CERT_SIGNATURE_FAILURE')
    return 'The client certificate names an authority of this service as its issuer, but was not signed by it. Show another, or none beside another credential.'
  return 'This is not a well-formed HTTP request, or it took too long to arrive.'
}

/** What cannot be read as HTTP never becomes a request. */
function turnAway(nodeCode: string, socket: Unread, doors: Doors): void {
  if (nodeCode === 'ECONNRESET' || !socket.writable) return socket.destroy()
  const { status, code } = clientErrors[nodeCode] ?? { status: '400 Bad Request', code: 'invalid_request' as const }
  const { trace } = requestIds({}, doors.random)
  const message = code === 'invalid_request' ? unreadMessage(nodeCode, socket) : errors[code].summary
  const body = JSON.stringify({ trace, errors: [{ code, message }] })
  socket.end(
    `HTTP/1.1 ${status}\r\ncontent-type: application/json; charset=utf-8\r\ncontent-length: ${Buffer.byteLength(body)}\r\nx-request-id: ${trace}\r\nconnection: close\r\n\r\n${body}`,
  )
}
