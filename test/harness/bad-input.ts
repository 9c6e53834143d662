/**
 * What no sensible client sends, made from the schemas of what a sensible one does: a value that fits, in which one place or more
 * has been spoilt. What fits passes the first checks and reaches the code behind them, which a value of pure noise never would.
 */
import fc from 'fast-check'

/** The parts of JSON Schema that the protocol's schemas use. */
export type Json = {
  type?: string
  const?: unknown
  enum?: readonly unknown[]
  anyOf?: readonly Json[]
  properties?: Record<string, Json>
  required?: readonly string[]
  patternProperties?: Record<string, Json>
  items?: Json
  minimum?: number
  maximum?: number
  minLength?: number
  maxLength?: number
  pattern?: string
  format?: string
  minItems?: number
  maxItems?: number
}

/** JSON text with what no JavaScript value can say, like `1e999` or two fields of one name. */
export class RawJson {
  readonly text: string
  constructor(text: string) {
    this.text = text
  }
}

/** Fields that mean something to the test: a name of its own pool, a session that exists. */
export type Meaningful = Readonly<Record<string, fc.Arbitrary<unknown>>>

/** A value that the schema accepts, most of the time. */
export function fitting(schema: Json, meaningful: Meaningful, field = ''): fc.Arbitrary<unknown> {
  const known = meaningful[field]
  if (known) return known
  if (schema.const !== undefined) return fc.constant(schema.const)
  if (schema.enum) return fc.constantFrom(...schema.enum)
  if (schema.anyOf) return fc.oneof(...schema.anyOf.map(other => fitting(other, meaningful)))
  switch (schema.type) {
    case 'integer':
    case 'number':
      return fc.oneof(
        fc.integer({ min: schema.minimum ?? 0, max: Math.min(schema.maximum ?? 9, (schema.minimum ?? 0) + 9) }),
        fc.constantFrom(schema.minimum ?? 0, schema.maximum ?? 1),
      )
    case 'string':
      return text(schema)
    case 'boolean':
      return fc.boolean()
    case 'null':
      return fc.constant(null)
    case 'array':
      return fc.array(fitting(schema.items ?? {}, meaningful), { minLength: schema.minItems ?? 0, maxLength: 3 })
    case 'object':
      return schema.properties
        ? closedObject(schema, meaningful)
        : fc.dictionary(label, fc.constantFrom('a', 'b', ''), { maxKeys: 3 })
    default:
      return fc.jsonValue({ maxDepth: 2 })
  }
}

const label = fc.stringMatching(/^[a-z]{1,8}$/)

function text(schema: Json): fc.Arbitrary<string> {
  if (schema.format === 'date-time') return fc.constantFrom('2026-01-01T00:00:00Z', '2126-01-01T00:00:00.5Z')
  return fc.string({
    minLength: schema.minLength ?? 0,
    maxLength: Math.min(schema.maxLength ?? 8, 8),
    unit: fc.constantFrom(...'ab0-'),
  })
}

function closedObject(schema: Json, meaningful: Meaningful): fc.Arbitrary<unknown> {
  const fields = Object.entries(schema.properties ?? {}).map(
    ([name, inner]) => [name, fitting(inner, meaningful, name)] as const,
  )
  return fc.record(Object.fromEntries(fields), { requiredKeys: [...(schema.required ?? [])] })
}

/** What is put where something else belongs. */
const spoilt: fc.Arbitrary<unknown> = fc.oneof(
  fc.constantFrom<unknown>(null, true, false, '', [], {}, 0, -1, -0.5, 1.5, 1e308, [[]], [null], { a: { b: {} } }),
  fc
    .constantFrom(
      '9007199254740993',
      '-9007199254740993',
      '18446744073709551616',
      '1e999',
      '-1e999',
      '1e-999',
      '-0',
      `1${'0'.repeat(400)}`,
      '"\\ud800"',
      '"a\\udfffb"',
      '"\\u0000"',
      '{"__proto__":{"polluted":true}}',
      '{"constructor":{"prototype":{"polluted":true}}}',
      '{"a":1,"a":2}',
      `${'['.repeat(500)}${']'.repeat(500)}`,
      'NaN',
      'undefined',
      '01',
      "'a'",
    )
    .map(raw => new RawJson(raw)),
  fc.constantFrom(
    '\0',
    '\u0000x',
    'line\nbreak',
    '\u0085',
    '\ud800',
    '\u202e',
    '../../etc/passwd',
    '%00',
    "'; --",
    '__proto__',
    'constructor',
    '\ufeff',
    '1',
    'true',
    'ß'.repeat(200),
  ),
  fc.constantFrom(129, 257, 1_001, 17_000, 70_000).map(length => 'x'.repeat(length)),
  fc.constantFrom(65, 1_001).map(length => Array.from({ length }, () => ({ name: 'fuzz-many', token: 1 }))),
  fc
    .constantFrom(17, 65, 3_000)
    .map(length => Object.fromEntries(Array.from({ length }, (_, index) => [`k${index}`, 'v']))),
)

const strangeFields = [
  '__proto__',
  'constructor',
  'toString',
  'hasOwnProperty',
  'unknown',
  '',
  '\0',
  'Name',
  'type',
  'id',
  '\ud800',
  'ß'.repeat(300),
]

/** One to three places of the value are spoilt, or a field too many is there, or all of it is something else. */
export function spoiling(value: unknown): fc.Arbitrary<unknown> {
  return fc
    .array(
      fc.tuple(
        fc.nat(),
        spoilt,
        fc.constantFrom('replace', 'add', 'remove', 'whole'),
        fc.constantFrom(...strangeFields),
      ),
      {
        minLength: 1,
        maxLength: 3,
      },
    )
    .map(changes => changes.reduce((now, [place, by, how, field]) => changed(now, { place, by, how, field }), value))
}

type Change = { place: number; by: unknown; how: string; field: string }

function changed(value: unknown, { place, by, how, field }: Change): unknown {
  if (how === 'whole' && place % 8 === 0) return by
  if (value === null || typeof value !== 'object' || value instanceof RawJson) return by
  const keys = Object.keys(value)
  const key = keys[place % Math.max(1, keys.length)]
  const copy = Array.isArray(value) ? [...value] : Object.fromEntries(Object.entries(value))
  if (how === 'add' || key === undefined) {
    // An ordinary assignment to `__proto__` would set no field.
    Object.defineProperty(copy, field, { value: by, enumerable: true, configurable: true, writable: true })
    return copy
  }
  const inner = (value as Record<string, unknown>)[key] // one of its own keys
  if (how === 'remove' && !Array.isArray(copy)) delete copy[key]
  else {
    const isDeep = inner !== null && typeof inner === 'object' && place % 2 === 0
    Object.defineProperty(copy, key, {
      value: isDeep ? changed(inner, { place: place >>> 1, by, how, field }) : by,
      enumerable: true,
      configurable: true,
      writable: true,
    })
  }
  return copy
}

/** JSON text, `RawJson` as it is, and every field that is there, whatever it is called. */
export function stringify(value: unknown): string {
  if (value instanceof RawJson) return value.text
  // Not `map`: it asks the list's own `constructor`, which may have been spoilt.
  if (Array.isArray(value)) return `[${Array.from(value, stringify).join(',')}]`
  if (value === null || typeof value !== 'object') return JSON.stringify(value) ?? 'null'
  return `{${Object.entries(value)
    .map(([key, field]) => `${JSON.stringify(key)}:${stringify(field)}`)
    .join(',')}}`
}
