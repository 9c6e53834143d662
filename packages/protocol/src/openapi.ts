/** OpenAPI 3.1 documents, derived from the operations. */
import type { TSchema } from 'typebox'
import { type ErrorCode, errors } from './errors.ts'
import { clientMessage, serverMessage } from './frame-schemas.ts'
import { commonErrors, instanceHeader, type OperationFields } from './operation.ts'
import * as s from './schemas.ts'
import { v1, v1Lock } from './v1.ts'
import { v2 } from './v2.ts'
import * as v from './v2-schemas.ts'

export type OpenApiDocument = Record<string, unknown> & { paths: Record<string, Record<string, unknown>> }

const intro = {
  v1: 'The simple API: every grant stands alone with its own TTL in seconds.',
  v2: 'The whole service: sessions, modes, priorities, preemption, sets of locks, elections, values, transfer.',
}

/** Schemas that a document names once and refers to, by their name in it. */
const named = {
  v1: new Map<TSchema, string>([
    [v1Lock, 'Lock'],
    [s.lockEvent, 'Event'],
    [s.errorBody, 'Error'],
  ]),
  v2: new Map<TSchema, string>([
    [v.v2Lock, 'Lock'],
    [s.grant, 'Grant'],
    [v.acquired, 'Acquired'],
    [v.v2Freeze, 'Freeze'],
    [v.election, 'Election'],
    [v.waiterView, 'Waiter'],
    [s.lockEvent, 'Event'],
    [s.errorBody, 'Error'],
    [clientMessage, 'ClientMessage'],
    [serverMessage, 'ServerMessage'],
  ]),
}

export function openApi(version: 'v1' | 'v2', release: string): OpenApiDocument {
  const operations: OperationFields[] = Object.values(version === 'v1' ? v1 : v2)
  const names = named[version]
  const paths: OpenApiDocument['paths'] = {}
  for (const operation of operations) {
    paths[operation.path] ??= {}
    paths[operation.path]![operation.method.toLowerCase()] = describe(operation, names)
  }
  const schemas = Object.fromEntries([...names].map(([schema, name]) => [name, plain(schema, names, { isRoot: true })]))
  return {
    openapi: '3.1.0',
    info: {
      title: `Holdfast ${version}`,
      version: release,
      description: intro[version],
      license: { name: 'Apache-2.0', identifier: 'Apache-2.0' },
    },
    servers: [{ url: '/' }],
    security: [{ bearer: [] }, { basic: [] }],
    tags: [...new Set(operations.map(operation => operation.tag))].map(name => ({ name })),
    paths,
    components: {
      schemas,
      securitySchemes: {
        bearer: { type: 'http', scheme: 'bearer', description: 'An API key.' },
        basic: { type: 'http', scheme: 'basic', description: 'Any user; the password is an API key.' },
      },
    },
  }
}

function describe(operation: OperationFields, names: Map<TSchema, string>) {
  const inPath = fieldsOf(operation.params).map(([name, schema]) => ({
    name,
    in: 'path',
    required: true,
    schema: plain(schema, names),
  }))
  const required: string[] = (operation.query as { required?: string[] }).required ?? [] // JSON Schema's own field
  const inQuery = fieldsOf(operation.query).map(([name, schema]) => ({
    name,
    in: 'query',
    required: required.includes(name),
    schema: plain(schema, names),
  }))
  const inHeader = [...(operation.headers ?? []), instanceHeader].map(header => ({
    name: header.name,
    in: 'header',
    required: header.isRequired,
    description: header.description,
    schema: { type: 'string', maxLength: 1_024, pattern: '^[\\x20-\\x7e]*$' },
  }))
  return {
    operationId: operation.id,
    tags: [operation.tag],
    summary: operation.summary,
    ...(operation.description && { description: operation.description }),
    ...(operation.action && { 'x-action': operation.action }),
    parameters: [...inPath, ...inQuery, ...inHeader],
    ...(operation.body && { requestBody: requestBody(operation, names) }),
    responses: { ...replies(operation, names), ...refusals(operation) },
  }
}

function requestBody(operation: OperationFields, names: Map<TSchema, string>) {
  const type = operation.method === 'PATCH' ? 'application/merge-patch+json' : 'application/json'
  const example = operation.bodyExample === undefined ? {} : { example: operation.bodyExample }
  const schema = operation.body as TSchema & { required?: string[] } // asked for by the caller only when there is one
  return {
    required: (schema.required ?? []).length > 0,
    content: { [type]: { schema: plain(schema, names), ...example } },
  }
}

function replies(operation: OperationFields, names: Map<TSchema, string>) {
  const entries = Object.entries(operation.replies).map(([status, reply]) => {
    if (!reply.body) return [status, { description: reply.description }] as const
    const type = reply.isStream ? 'text/event-stream' : 'application/json'
    const example = reply.example === undefined ? {} : { example: reply.example }
    return [
      status,
      { description: reply.description, content: { [type]: { schema: plain(reply.body, names), ...example } } },
    ] as const
  })
  return Object.fromEntries(entries)
}

/** Codes that share a status share a response. */
function refusals(operation: OperationFields) {
  const byStatus = new Map<number, ErrorCode[]>()
  for (const code of new Set<ErrorCode>([...operation.errors, ...commonErrors])) {
    const { status } = errors[code]
    byStatus.set(status, [...(byStatus.get(status) ?? []), code])
  }
  const entries = [...byStatus]
    .sort(([one], [other]) => one - other)
    .map(([status, codes]) => {
      const description = codes.map(code => `\`${code}\`: ${errors[code].summary}`).join('\n\n')
      const schema = { $ref: '#/components/schemas/Error' }
      return [
        status,
        { description, content: { 'application/json': { schema }, 'application/problem+json': { schema } } },
      ] as const
    })
  return Object.fromEntries(entries)
}

function fieldsOf(schema: TSchema): [string, TSchema][] {
  return Object.entries((schema as { properties?: Record<string, TSchema> }).properties ?? {}) // JSON Schema's own field
}

/** A copy without what only TypeBox needs, in which named schemas are referred to. */
function plain(value: unknown, names: Map<TSchema, string>, { isRoot = false } = {}): unknown {
  if (Array.isArray(value)) return value.map(item => plain(item, names))
  if (value === null || typeof value !== 'object') return value
  const name = isRoot ? undefined : names.get(value as TSchema) // the map is asked by identity
  if (name) return { $ref: `#/components/schemas/${name}` }
  return Object.fromEntries(Object.entries(value).map(([key, field]) => [key, plain(field, names)]))
}
