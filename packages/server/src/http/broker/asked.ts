/** What the endpoints of the broker share: who asks for what, and how an endpoint is written down. */
import type { Action } from '@holdfast/protocol/operation'
import type { FastifyRequest } from 'fastify'
import type { TObject } from 'typebox'
import { type AdministrationOptions, type By, notFound } from '../../administration/administration.ts'
import { ORDERED_AS_CHARS_MAX, orderedInstance } from '../../administration/orders.ts'
import type { InstanceRecord } from '../../registry/records.ts'
import type { Caller } from '../caller.ts'
import type { Doors } from '../doors.ts'
import { invalid, Refused } from '../reply.ts'

export type Asked = {
  doors: Doors
  caller: Caller
  by: By
  trace: string
  params: Record<string, string>
  query: Record<string, unknown>
  /** Accepted by the endpoint's schema; null: it has none. */
  body: object | null
  /** Where the platform has found us. */
  url: string
}

export type Answered = { status: number; body: object }

export type Endpoint = {
  method: 'GET' | 'PUT' | 'PATCH' | 'DELETE'
  /** Below `/broker`. */
  path: string
  /** Needed in `default`: a platform is one that runs the service. */
  action: Action
  body: TObject | null
  /** Query parameters that OSB wants and that we look at. */
  needs: readonly ('service_id' | 'plan_id')[]
  handle(asked: Asked): Answered | Promise<Answered>
}

/** A name of the platform's, which must be fit for records and the trail. @throws {Refused} */
export function nameOf({ params }: Asked, name: 'instance_id' | 'binding_id'): string {
  const text = params[name] ?? ''
  if (text.length <= ORDERED_AS_CHARS_MAX && /^[!-~]+$/.test(text)) return text
  const message = `\`${name}\` must be 1 to ${ORDERED_AS_CHARS_MAX} printable characters of ASCII without spaces.`
  throw invalid('parameter', { name, message })
}

export function options({ doors }: Pick<Asked, 'doors'>): AdministrationOptions {
  return doors.administration
}

/** @throws {HoldfastError} `not_found` */
export function instanceOf(asked: Asked): InstanceRecord {
  const named = nameOf(asked, 'instance_id')
  const record = orderedInstance(options(asked), named)
  if (!record) throw notFound(`There is no instance \`${named}\` that was ordered here, or it has been deleted.`)
  return record
}

/** What is gone says so with a status of its own. */
export const gone: Answered = { status: 410, body: {} }

/** What is beyond is cut off. */
export const IDENTITY_CHARS_MAX = 200

/**
 * For whom the platform does it, as it says: `PLATFORM base64({…})`. It is believed as much as the platform is, so it goes into the trail and gives no right.
 * How people are called there is the platform's affair: whatever is not printable ASCII comes percent-encoded.
 * @throws {Refused} when it cannot be read: the trail would not tell who it was
 */
export function onBehalfOf(request: FastifyRequest): string | undefined {
  const name = 'X-Broker-API-Originating-Identity'
  const header = request.headers[name.toLowerCase()]
  if (header === undefined) return undefined
  const [platform = '', encoded = '', ...more] = String(header).trim().split(/ +/)
  const fields = more.length === 0 ? fieldsOf(encoded) : null
  const who = fields && (fields.iam_id ?? fields.user_id ?? fields.username ?? fields.user)
  if (typeof who === 'string') return printable(`${platform} ${who}`)
  const message = `\`${name}\` must be the platform and an object in base64 that says who it is (\`iam_id\`, \`user_id\` or \`username\`).`
  throw new Refused({ code: 'invalid_request', message, target: { type: 'header', name } })
}

/** The first space stays: it parts the platform from who it is. A `%` is encoded as well, so that no two names look the same. */
function printable(text: string): string {
  const space = text.indexOf(' ')
  let shown = ''
  for (const [index, byte] of Buffer.from(text).entries()) {
    const isPlain = (byte > 0x20 && byte < 0x7f && byte !== 0x25) || index === space
    const part = isPlain ? String.fromCharCode(byte) : `%${byte.toString(16).toUpperCase().padStart(2, '0')}`
    if (shown.length + part.length > IDENTITY_CHARS_MAX) break
    shown += part
  }
  return shown
}

function fieldsOf(encoded: string): Record<string, unknown> | null {
  try {
    const value: unknown = JSON.parse(Buffer.from(encoded, 'base64').toString('utf8'))
    return value !== null && typeof value === 'object' ? { ...value } : null
  } catch {
    // Whatever it is, it is not base64 of JSON, and the caller says so.
    return null
  }
}
