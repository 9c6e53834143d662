/**
 * Checks what arrives against its schema, and says in words what was expected where it fits not. Validators are compiled
 * once, when first needed; what has passed is trusted from there on.
 */
import { BODY_BYTES_MAX, LOCK_NAME_BYTES_MAX, METADATA_BYTES_MAX, VALUE_BYTES_MAX } from '@holdfast/protocol/limits'
import { patternWords } from '@holdfast/protocol/schemas'
import type { Static, TSchema } from 'typebox'
import { Compile } from 'typebox/compile'

export type Misfit = { name: string; message: string }
export type Validator<Schema extends TSchema> = {
  accepts(value: unknown): value is Static<Schema>
  /** Why `accepts` said no. */
  misfit(value: unknown): Misfit
}

export function validator<Schema extends TSchema>(schema: Schema): Validator<Schema> {
  // When it is first needed: to compile those of all routes at once would keep a server that has just joined from beating.
  let compiled: ReturnType<typeof Compile<Schema>> | null = null
  const ready = () => {
    compiled ??= Compile(schema)
    return compiled
  }
  return {
    accepts: (value): value is Static<Schema> => ready().Check(value),
    misfit: value => describe(schema, ready().Errors(value), value),
  }
}

type SchemaError = { keyword: string; instancePath: string; params: object }
/** The parts of JSON Schema that the protocol's schemas use. */
type Json = {
  type?: string
  const?: unknown
  enum?: unknown[]
  anyOf?: Json[]
  properties?: Record<string, Json>
  patternProperties?: Record<string, Json>
  items?: Json
  minimum?: number
  maximum?: number
  minLength?: number
  maxLength?: number
  minItems?: number
  maxItems?: number
  maxProperties?: number
  pattern?: string
  format?: string
  description?: string
}

function describe(schema: TSchema, errors: readonly SchemaError[], value: unknown): Misfit {
  const unknown = errors.find(error => error.keyword === 'additionalProperties')
  if (unknown) {
    const [extra] = (unknown.params as { additionalProperties: string[] }).additionalProperties // of this keyword
    const name = [...segments(unknown.instancePath), extra].join('.')
    const known = Object.keys(at(schema as Json, segments(unknown.instancePath))?.properties ?? {})
    const names = known.length > 0 ? ` Known here: ${known.map(key => `\`${key}\``).join(', ')}.` : ''
    return { name, message: `\`${name}\` is not known here.${names}` }
  }
  const missing = errors.find(error => error.keyword === 'required')
  if (missing) {
    const [field] = (missing.params as { requiredProperties: string[] }).requiredProperties // of this keyword
    const name = [...segments(missing.instancePath), field].join('.')
    return { name, message: `\`${name}\` is missing: it must be ${expectation(at(schema as Json, name.split('.')))}.` }
  }
  const deepest = [...errors].sort(
    (one, other) => segments(other.instancePath).length - segments(one.instancePath).length,
  )[0]
  const path = segments(deepest?.instancePath ?? '')
  const name = path.join('.')
  if (name === '')
    return {
      name: 'body',
      message: `The body must be ${expectation(schema as Json)}${value === undefined ? '; there is none' : ''}.`,
    }
  const own = errors.filter(({ instancePath }) => instancePath === deepest?.instancePath)
  // It looks like a time, and is none.
  if (own.every(({ keyword }) => keyword === 'format'))
    return { name, message: `\`${name}\` is no time: there is no such day or hour.` }
  return { name, message: `\`${name}\` must be ${expectation(at(schema as Json, path))}.` }
}

function segments(pointer: string): string[] {
  return pointer === ''
    ? []
    : pointer
        .slice(1)
        .split('/')
        .map(part => part.replaceAll('~1', '/').replaceAll('~0', '~'))
}

function at(schema: Json | undefined, path: readonly string[]): Json | undefined {
  return path.reduce<Json | undefined>((here, part) => {
    const inside = here?.anyOf?.find(other => other.type === 'object') ?? here
    return inside?.properties?.[part] ?? inside?.items ?? Object.values(inside?.patternProperties ?? {})[0]
  }, schema)
}

function expectation(schema: Json | undefined): string {
  if (!schema) return 'something else'
  if (schema.anyOf) return schema.anyOf.map(expectation).join(' or ')
  if (schema.const !== undefined) return JSON.stringify(schema.const)
  if (schema.enum) return `one of ${schema.enum.map(value => JSON.stringify(value)).join(', ')}`
  switch (schema.type) {
    case 'integer':
    case 'number':
      return `${schema.type === 'integer' ? 'a whole number' : 'a number'} from ${schema.minimum ?? '-∞'} to ${schema.maximum ?? '∞'}`
    case 'string':
      return text(schema)
    case 'array':
      return `a list of ${schema.minItems ?? 0} to ${schema.maxItems ?? '∞'} items`
    case 'boolean':
      return 'true or false'
    case 'null':
      return 'null'
    default:
      return schema.maxProperties === undefined
        ? 'an object'
        : `an object with at most ${schema.maxProperties} fields, as the reference says`
  }
}

function text({ minLength = 0, maxLength, pattern = '', format, description = '' }: Json): string {
  if (format === 'date-time')
    return 'a time in UTC as RFC 3339 has it, such as `2026-11-01T12:00:00Z`: with `Z` and no offset, and without leap seconds'
  const words = patternWords[pattern]
  const what = description === '' ? '' : ` (${description.replace(/\.$/, '')})`
  return `well-formed text of ${minLength} to ${maxLength ?? '∞'} characters${words ? ` ${words}` : ''}${what}`
}

// ------------------------------------------------------------------ what counts bytes, which schemas cannot

/** A character is at most three bytes for each of its UTF-16 units. */
const BYTES_PER_UNIT_MAX = 3

function isLonger(text: string, bytesMax: number): boolean {
  return text.length * BYTES_PER_UNIT_MAX > bytesMax && Buffer.byteLength(text) > bytesMax
}

/** null: fits. */
export function nameMisfit(name: string, field = 'name'): Misfit | null {
  return isLonger(name, LOCK_NAME_BYTES_MAX)
    ? { name: field, message: `\`${field}\` must have at most ${LOCK_NAME_BYTES_MAX} bytes of UTF-8.` }
    : null
}

type Weighed = {
  name?: unknown
  prefix?: unknown
  value?: unknown
  metadata?: unknown
  locks?: unknown
  grants?: unknown
}

/** The limits in bytes of a message or body that its schema has accepted; null: fits. */
export function bytesMisfit(message: object): Misfit | null {
  const { name, prefix, value, metadata, locks, grants }: Weighed = message
  if (typeof name === 'string' && isLonger(name, LOCK_NAME_BYTES_MAX)) return nameMisfit(name)
  if (typeof prefix === 'string' && isLonger(prefix, LOCK_NAME_BYTES_MAX)) return nameMisfit(prefix, 'prefix')
  if (typeof value === 'string' && isLonger(value, VALUE_BYTES_MAX))
    return { name: 'value', message: `\`value\` must have at most ${VALUE_BYTES_MAX} bytes of UTF-8.` }
  if (metadata !== undefined) {
    const misfit = metadataMisfit(metadata)
    if (misfit) return misfit
  }
  return namesMisfit(locks, 'locks') ?? namesMisfit(grants, 'grants')
}

function namesMisfit(list: unknown, field: string): Misfit | null {
  if (!Array.isArray(list)) return null
  for (const [index, item] of list.entries()) {
    // Claims and grants have names; the patterns of a policy are as long as names.
    const misfit =
      typeof item === 'string' ? nameMisfit(item, `${field}.${index}`) : nameMisfit(item.name, `${field}.${index}.name`)
    if (misfit) return misfit
  }
  return null
}

/** Deeper metadata helps nobody, and a walk through it must not exhaust the stack. */
export const METADATA_DEPTH_MAX = 8

function metadataMisfit(metadata: unknown): Misfit | null {
  if (!isPlain(metadata, METADATA_DEPTH_MAX)) {
    return {
      name: 'metadata',
      message: `\`metadata\` must be well-formed, at most ${METADATA_DEPTH_MAX} levels deep, and have no key \`__proto__\`.`,
    }
  }
  if (Buffer.byteLength(JSON.stringify(metadata)) <= METADATA_BYTES_MAX) return null
  return { name: 'metadata', message: `\`metadata\` must have at most ${METADATA_BYTES_MAX} bytes as JSON.` }
}

function isPlain(value: unknown, depthLeft: number): boolean {
  if (typeof value === 'string') return value.isWellFormed()
  if (value === null || typeof value !== 'object') return true
  if (depthLeft === 0) return false
  return Object.entries(value).every(
    ([key, field]) => key !== '__proto__' && key.isWellFormed() && isPlain(field, depthLeft - 1),
  )
}

/** UTF-8 that is not well-formed is refused, not mended. */
const utf8 = new TextDecoder('utf-8', { fatal: true, ignoreBOM: false })

/** @throws {SyntaxError} with a message for people. */
export function parseJson(bytes: Uint8Array): unknown {
  if (bytes.length > BODY_BYTES_MAX) throw new SyntaxError('The body is too large.')
  let text: string
  try {
    text = utf8.decode(bytes)
  } catch (cause) {
    throw new SyntaxError('The body is not well-formed UTF-8.', { cause })
  }
  try {
    return JSON.parse(text)
  } catch (cause) {
    throw new SyntaxError(`The body is not valid JSON: ${cause instanceof Error ? cause.message : cause}.`, { cause })
  }
}
