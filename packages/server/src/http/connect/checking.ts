/** Messages against their schemas, which are compiled once. */
import type { WireError } from '@holdfast/protocol/errors'
import type { ClientRequest } from '@holdfast/protocol/frame'
import { requests } from '@holdfast/protocol/frame-schemas'
import { bytesMisfit, type Misfit, type Validator, validator } from '../validate.ts'

const checks = new Map<string, Validator<(typeof requests)[keyof typeof requests]>>(
  Object.entries(requests).map(([type, schema]) => [type, validator(schema)]),
)

type Checked =
  | { request: ClientRequest; id?: undefined; error?: undefined; isUnknown?: undefined }
  /** `id` null: there is none under which it could be answered. `isUnknown`: no schema accepts it. */
  | { request: null; id: number | null; error: WireError; isUnknown: boolean }

export function checkMessage(message: unknown): Checked {
  const named = (message ?? {}) as { type?: unknown; id?: unknown } // read as unknown fields of anything
  const check = typeof named.type === 'string' ? checks.get(named.type) : undefined
  if (check?.accepts(message)) {
    // The schemas and the types say the same: frame-schemas.test.ts.
    const request = message as ClientRequest
    const misfit = bytesMisfit(request)
    return misfit ? { request: null, id: request.id, error: misfitError(misfit), isUnknown: false } : { request }
  }
  const types = [...checks.keys()].map(type => `"${type}"`).join(', ')
  const misfit = check ? check.misfit(message) : { name: 'type', message: `\`type\` must be one of ${types}.` }
  const id = typeof named.id === 'number' && Number.isSafeInteger(named.id) && named.id >= 1 ? named.id : null
  return { request: null, id, error: misfitError(misfit), isUnknown: true }
}

export function misfitError({ name, message }: Misfit): WireError {
  return { code: 'invalid_request', message, target: { type: 'field', name } }
}
