/** Requests with something wrong in them, for any operation; and whether what comes back is what the operation declares. */
import { strict as assert } from 'node:assert'
import { type Agent, request } from 'node:http'
import { type ErrorBody, type ErrorCode, errors } from '@holdfast/protocol/errors'
import { commonErrors, type OperationFields } from '@holdfast/protocol/operation'
import { v1 } from '@holdfast/protocol/v1'
import { v2 } from '@holdfast/protocol/v2'
import fc from 'fast-check'
import { Compile } from 'typebox/compile'
import { fitting, type Json, type Meaningful, RawJson, spoiling, stringify } from './bad-input.ts'

export const allOperations: OperationFields[] = [
  ...Object.values<OperationFields>(v1),
  ...Object.values<OperationFields>(v2),
]

export type Sent = { method: string; path: string; headers: Record<string, string>; body: Buffer | null }
export type Answered = { status: number; headers: NodeJS.Dict<string | string[]>; text: string }

const badPaths = ['%00', '%ED%A0%80', '%FF', '%', '%zz', 'x'.repeat(257), 'x'.repeat(9_000), '', '%0A', '%C2%85']
export const badHeaders: [string, string][] = [
  ['Holdfast-Session', 'none.secret'],
  ['Holdfast-Session', '.'],
  ['Holdfast-Session', 'x'.repeat(5_000)],
  ['Authorization', 'Bearer wrong'],
  ['Authorization', 'Basic Og=='],
  ['Authorization', ''],
  ['API-Version', '1999-01-01'],
  ['API-Version', 'yesterday'],
  ['IBM-API-Version', '2999-12-31'],
  ['If-Match', '"x"'],
  ['If-Match', '*'],
  ['If-None-Match', '*'],
  ['Idempotency-Key', 'k'],
  ['Idempotency-Key', 'x'.repeat(300)],
  ['Idempotency-Key', '\u00ff'],
  ['Last-Event-ID', 'nonsense'],
  ['Last-Event-ID', 'x'.repeat(300)],
  ['Content-Type', 'text/plain'],
  ['Content-Type', 'application/json; charset=latin1'],
  ['Content-Type', 'multipart/form-data'],
  ['Content-Encoding', 'gzip'],
  ['X-Request-ID', 'x'.repeat(500)],
  ['X-Request-ID', '\u00e4'],
  ['traceparent', '00-nonsense'],
  ['Holdfast-Instance', '../other'],
  ['Accept', 'application/problem+json'],
  ['X-Large', 'x'.repeat(17_000)],
]

/** Bytes that are no JSON at all. */
const badBodies = [
  Buffer.from(''),
  Buffer.from('{'),
  Buffer.from([0]),
  Buffer.from([0x22, 0xed, 0xa0, 0x80, 0x22]),
  Buffer.from('\ufeff{}'),
  Buffer.alloc(256 * 1024 + 1, ' '),
  Buffer.from('{}{}'),
]

/** With which credential and session it is sent is the test's business; `headers` is asked when a request is made. */
export type Asking = {
  meaningful: Meaningful
  headers: () => Record<string, string>
  /** How many of the bodies have something wrong in them; by default two of three. */
  spoiltPercent?: number
}

export function requestOf(
  operation: OperationFields,
  { meaningful, headers: given, spoiltPercent = 67 }: Asking,
): fc.Arbitrary<Sent> {
  const params = fitting(operation.params as Json, meaningful)
  // With every filter that there is, and with the needed ones alone: most combinations of many find nothing.
  const filters = operation.query as Json
  const query = fc
    .oneof(fitting(filters, meaningful), fitting(needed(filters), meaningful))
    .chain(value => rarely(value, spoiling(value)))
  const body: fc.Arbitrary<Buffer | null> = operation.body
    ? fc.oneof(
        { weight: 8, arbitrary: bytesOf(fitting(operation.body as Json, meaningful), spoiltPercent) },
        { weight: 1, arbitrary: fc.constantFrom(...badBodies) },
        { weight: 1, arbitrary: fc.constant(null) },
      )
    : fc.oneof({ weight: 9, arbitrary: fc.constant(null) }, { weight: 1, arbitrary: fc.constantFrom(...badBodies) })
  const header = rarely<[string, string] | null>(null, fc.constantFrom(...badHeaders))
  const badPath = rarely<string | null>(null, fc.constantFrom(...badPaths))
  return fc.record({ params, query, body, header, badPath }).map(made => {
    const path = pathWith(operation.path, made.params as Record<string, string>, made.badPath)
    const headers: Record<string, string> = {
      ...given(),
      'Content-Type': operation.method === 'PATCH' ? 'application/merge-patch+json' : 'application/json',
    }
    if (made.body === null) delete headers['Content-Type']
    if (made.header) headers[made.header[0]] = made.header[1]
    return { method: operation.method, path: path + queryOf(made.query), headers, body: made.body }
  })
}

function needed(schema: Json): Json {
  const fields = Object.entries(schema.properties ?? {}).filter(([name]) => schema.required?.includes(name))
  return { ...schema, properties: Object.fromEntries(fields) }
}

export function rarely<Value>(usual: Value, other: fc.Arbitrary<Value>): fc.Arbitrary<Value> {
  return fc.oneof({ weight: 4, arbitrary: fc.constant(usual) }, { weight: 1, arbitrary: other })
}

export function bytesOf(value: fc.Arbitrary<unknown>, spoiltPercent = 67): fc.Arbitrary<Buffer> {
  return value
    .chain(whole =>
      fc.oneof(
        { weight: 100 - spoiltPercent, arbitrary: fc.constant(whole) },
        { weight: spoiltPercent, arbitrary: spoiling(whole) },
      ),
    )
    .map(made => Buffer.from(stringify(made)))
}

function pathWith(template: string, params: Record<string, string>, bad: string | null): string {
  return template.replaceAll(/\{(\w+)\}/g, (_, name: string) => bad ?? encodeURIComponent(params[name] ?? ''))
}

function queryOf(query: unknown): string {
  if (query === null || typeof query !== 'object' || query instanceof RawJson) return '?a&a&=&%'
  const pairs = Object.entries(query).map(([name, value]) => {
    const text = typeof value === 'string' ? value : stringify(value)
    // A lone surrogate has no encoding; its bytes have.
    const encode = (part: string) => (part.isWellFormed() ? encodeURIComponent(part.slice(0, 2_000)) : '%ED%A0%80')
    return `${encode(name)}=${encode(text)}`
  })
  return pairs.length === 0 ? '' : `?${pairs.join('&')}`
}

/** The body of a stream is not waited for. */
export function send(sent: Sent, to: { port: number; agent: Agent; localAddress?: string }): Promise<Answered> {
  return new Promise((resolve, reject) => {
    const { method, path } = sent
    const outgoing = request({ host: '127.0.0.1', method, path, headers: headersOf(sent), ...to }, incoming => {
      const { statusCode: status = 0, headers } = incoming
      if (headers['content-type']?.startsWith('text/event-stream')) {
        outgoing.destroy()
        return resolve({ status, headers, text: '' })
      }
      let text = ''
      incoming.setEncoding('utf8')
      incoming.on('data', (data: string) => {
        text += data
      })
      incoming.on('end', () => resolve({ status, headers, text }))
    })
    // A body that is larger than allowed is answered before it has been sent; then the socket is closed.
    outgoing.on('error', error =>
      reject(new Error(`${method} ${path.slice(0, 200)} was not answered`, { cause: error })),
    )
    outgoing.end(sent.body ?? undefined)
  })
}

function headersOf({ headers, body }: Sent): Record<string, string> {
  return body === null ? headers : { ...headers, 'Content-Length': String(body.length) }
}

/** Checks an answer of the operation: one of its declared successes with its body, an error that it declares, or where to ask instead. */
export function checkerOf(operation: OperationFields): (answered: Answered) => 'done' | 'refused' {
  const checks = new Map(
    Object.entries(operation.replies).map(([status, { body, isStream }]) => [
      Number(status),
      body === null || isStream ? null : Compile(body),
    ]),
  )
  const declared = [...operation.errors, ...commonErrors]
  return answered => {
    const { status, headers, text } = answered
    assert.ok(headers['x-request-id'], `no X-Request-ID: ${status} ${text}`)
    if (status === 301) {
      // A parameter that is empty makes a path that ends in `/`.
      assert.match(String(headers.location), /^\/[^?]*[^/?](\?.*)?$/)
      return 'refused'
    }
    const check = checks.get(status)
    if (check === undefined) {
      assertError(answered, declared)
      return 'refused'
    }
    if (check) assert.ok(check.Check(JSON.parse(text)), `not the declared body: ${text}`)
    return 'done'
  }
}

function assertError({ status, headers, text }: Answered, declared: readonly ErrorCode[]): void {
  assert.match(String(headers['content-type']), /^application\/(problem\+)?json/, `${status} ${text}`)
  const { trace, errors: list } = JSON.parse(text) as ErrorBody // it is checked here
  const [error] = list
  assert.ok(error && Object.hasOwn(errors, error.code), text)
  // A head that takes too long or cannot be parsed is answered before there is a request.
  assert.ok(errors[error.code].status === status, `${error.code} with status ${status}`)
  assert.ok(declared.includes(error.code), `\`${error.code}\` is not declared: ${text}`)
  // Nothing is wrong with the server or its store, whatever it is asked.
  assert.ok(status < 500, `${status} ${text}`)
  assert.equal(typeof error.message, 'string')
  assert.equal(trace, headers['x-request-id'])
  assert.ok(trace.length > 0)
}
