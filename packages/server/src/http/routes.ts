/** Operations → routes: parameters and permission before the body is read, then the body, then the handler. */
import type { OperationFields } from '@holdfast/protocol/operation'
import type { FastifyReply, FastifyRequest } from 'fastify'
import type { Call, Route } from './call.ts'
import { refuseEncoding } from './content-encoding.ts'
import type { Doors } from './doors.ts'
import type { App } from './listener.ts'
import { paramsOf, queryOf } from './names.ts'
import { permitEarly, permitLate } from './permitting.ts'
import { isDecidedByUrl, lateDeeds } from './questions.ts'
import { invalid, refuse } from './reply.ts'
import { shutOut } from './standing.ts'
import { bytesMisfit, type Validator, validator } from './validate.ts'
import { whenKnown } from './when-known.ts'

type Prepared = { params: Record<string, string>; query: Record<string, unknown>; isHidden: boolean }
const prepared = new WeakMap<FastifyRequest, Prepared>()

export function addOperations(app: App, doors: Doors, routes: readonly Route[]): void {
  for (const route of routes) addOperation(app, doors, route)
}

function addOperation(app: App, doors: Doors, { operation, handle, absent }: Route): void {
  const prepare = preparation(doors, operation)
  const body = operation.body ? validator(operation.body) : null
  const isAskedAgain = body !== null && isDecidedByUrl(operation)
  app.route({
    method: operation.method,
    url: operation.path.replaceAll(/\{(\w+)\}/g, ':$1'),
    config: { reachesGone: operation.reachesGone ?? false },
    onRequest: (request, reply, done) => {
      try {
        // Nothing leads here past the first checks; if something did, it would end here.
        if (request.caller === null) throw refuse('unauthenticated')
        const ready = whenKnown(prepare(request, reply), known => {
          prepared.set(request, known)
          done()
        })
        if (ready instanceof Promise) ready.catch(error => done(error))
      } catch (error) {
        // A hook that throws ends the process; one that says so is answered.
        done(error instanceof Error ? error : new Error(String(error)))
      }
    },
    handler: async (request, reply) => {
      const { params, query, ...ready } = prepared.get(request)!
      const checked = checkedBody(body, request.body)
      // It may have taken its time: whoever asks is known as they are now, and what they may is decided now.
      const ended = checked === null ? null : shutOut(doors, request.caller!)
      if (ended) throw ended
      const url = { ...query, ...params }
      const isHidden = isAskedAgain ? await permitEarly(doors, request, { operation, url }) : ready.isHidden
      const call: Call = {
        // Accepted by this operation's schemas just now.
        params: params as never,
        query: query as never,
        body: checked as never,
        caller: request.caller!,
        deeds: checked === null ? [] : lateDeeds(operation, url, checked),
        trace: request.ids.trace,
        doors,
        request,
        reply,
      }
      const permitted = permitLate(call)
      if (permitted) await permitted
      const result = await (isHidden && absent ? absent : handle)(call)
      return result === null ? reply : send(reply, result)
    },
  })
}

type Result = { status: number | string | symbol; body: unknown; headers?: Record<string, string> }

function send(reply: FastifyReply, { status, body, headers }: Result): FastifyReply {
  reply.code(Number(status))
  if (headers) for (const [name, value] of Object.entries(headers)) reply.header(name, value)
  if (body === null) return reply.send()
  return reply.header('content-type', 'application/json; charset=utf-8').send(JSON.stringify(body))
}

/** Checks the path, the query, the permission and the conditional headers. */
function preparation(
  doors: Doors,
  operation: OperationFields,
): (request: FastifyRequest, reply: FastifyReply) => Prepared | Promise<Prepared> {
  const params = validator(operation.params)
  const query = validator(operation.query)
  const integers = new Set(
    Object.entries(operation.query.properties)
      .filter(isInteger)
      .map(([name]) => name),
  )
  return (request, reply) => {
    const url = request.raw.url ?? ''
    const inPath = paramsOf(operation.path, url)
    check(params, inPath)
    const inQuery = queryOf(url, integers)
    check(query, inQuery)
    return whenKnown(permitEarly(doors, request, { operation, url: { ...inQuery, ...inPath } }), isHidden => {
      refuseConditions(operation, request)
      refuseEncoding(request, reply)
      return { params: inPath, query: inQuery, isHidden }
    })
  }
}

function isInteger([, schema]: [string, object]): boolean {
  return 'type' in schema && schema.type === 'integer'
}

function check(schema: Validator<never>, value: Record<string, unknown>): void {
  if (!schema.accepts(value)) throw invalid('parameter', schema.misfit(value))
  const misfit = bytesMisfit(value)
  if (misfit) throw invalid('parameter', misfit)
}

const conditions = ['if-match', 'if-none-match', 'if-modified-since', 'if-unmodified-since', 'if-range']

/** A condition that would not be looked at must not seem to hold. */
function refuseConditions(operation: OperationFields, request: FastifyRequest): void {
  if (operation.method === 'GET') return
  for (const header of conditions) {
    if (request.headers[header] === undefined) continue
    if (operation.headers?.some(known => known.name.toLowerCase() === header)) continue
    throw invalid('header', { name: header, message: `\`${header}\` is not supported here.` })
  }
}

function checkedBody(schema: Validator<never> | null, body: unknown): object | null {
  if (!schema) {
    if (body !== undefined) throw invalid('field', { name: 'body', message: 'This operation takes no body.' })
    return null
  }
  // Left out where every field is optional.
  const value = body === undefined && schema.accepts({}) ? {} : body
  if (!schema.accepts(value)) throw invalid('field', schema.misfit(value))
  const misfit = bytesMisfit(value)
  if (misfit) throw invalid('field', misfit)
  return value
}
