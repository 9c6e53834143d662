/**
 * The only bridge between the wire (snake_case) and the code (camelCase). Keys are renamed after validation and before
 * serialising. Fields that users fill (`labels`, `metadata`) are opaque: carried over, never looked into. A lock's value is a text, or
 * our own object around one.
 */
type CamelKey<Text extends string> = Text extends `${infer Head}_${infer Tail}`
  ? `${Head}${Capitalize<CamelKey<Tail>>}`
  : Text
type Opaque = 'labels' | 'metadata'

export type Camel<Value> = Value extends readonly (infer Item)[]
  ? Camel<Item>[]
  : Value extends object
    ? {
        [Key in keyof Value as Key extends string ? CamelKey<Key> : Key]: Key extends Opaque
          ? Value[Key]
          : Camel<Value[Key]>
      }
    : Value

const opaque = new Set(['labels', 'metadata'])
const camelKeys = new Map<string, string>()
const snakeKeys = new Map<string, string>()
/** Keys come from schemas, so there are few; the bound only guards against a bug that would feed it users' text. */
const KEYS_CACHED_MAX = 4096

function cached(cache: Map<string, string>, key: string, rename: (key: string) => string): string {
  const known = cache.get(key)
  if (known !== undefined) return known
  const renamed = rename(key)
  if (cache.size < KEYS_CACHED_MAX) cache.set(key, renamed)
  return renamed
}

function rename(value: unknown, keyOf: (key: string) => string): unknown {
  if (Array.isArray(value)) return value.map(item => rename(item, keyOf))
  if (value === null || typeof value !== 'object') return value
  const renamed: Record<string, unknown> = {}
  for (const [key, field] of Object.entries(value)) renamed[keyOf(key)] = opaque.has(key) ? field : rename(field, keyOf)
  return renamed
}

/** Wire → code. The caller has validated `value` against the schema that `Value` is derived from. */
export function toCamel<Value>(value: Value): Camel<Value> {
  const keyOf = (key: string) =>
    cached(camelKeys, key, text => text.replace(/_([a-z0-9])/g, (_, letter: string) => letter.toUpperCase()))
  // The mapped type says what `rename` does; the compiler cannot follow it through a loop.
  return rename(value, keyOf) as Camel<Value>
}

/** Code → wire. */
export function toSnake(value: unknown): unknown {
  const keyOf = (key: string) =>
    cached(snakeKeys, key, text => text.replace(/[A-Z]/g, letter => `_${letter.toLowerCase()}`))
  return rename(value, keyOf)
}
