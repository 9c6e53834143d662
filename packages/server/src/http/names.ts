/** What stands in a URL, decoded exactly: a name may hold slashes, percent signs, dots and any other text. */
import { invalid, type Refused } from './reply.ts'

/**
 * The path and query of what a request names. A client that takes this server for a proxy names scheme and host too (RFC 9112, 3.2.2): they are let
 * go before anything counts the segments.
 */
export function originForm(target: string): string {
  const [whole] = /^[a-z][a-z0-9+.-]*:\/\/[^/?#]*/i.exec(target) ?? []
  if (whole === undefined) return target
  const rest = target.slice(whole.length)
  return rest.startsWith('/') ? rest : `/${rest}`
}

/** The raw path of a request, without query and fragment. */
export function pathOf(url: string): string {
  const end = url.search(/[?#]/)
  return end < 0 ? url : url.slice(0, end)
}

/** Where a path that ends in `/` leads without, with the query; null: it does not end so. A `/` that belongs to a name is percent-encoded. */
export function withoutSlash(url: string): { path: string; url: string } | null {
  const path = pathOf(url)
  let end = path.length
  while (path[end - 1] === '/') end--
  if (end === path.length || end === 0) return null
  return { path: path.slice(0, end), url: path.slice(0, end) + url.slice(path.length) }
}

/** Whether the segments of a path are those of the template, where a parameter in braces stands for any one. */
export function matches(template: readonly string[], segments: readonly string[]): boolean {
  return (
    template.length === segments.length &&
    template.every((part, index) => part.startsWith('{') || part === segments[index])
  )
}

/**
 * The values of the path's parameters. The template has matched already, so the segments correspond; they are decoded here, once,
 * and not by the router, which decodes some characters twice or not at all.
 * @throws {Refused} when a segment is not well-formed UTF-8.
 */
export function paramsOf(template: string, url: string): Record<string, string> {
  const params: Record<string, string> = {}
  if (!template.includes('{')) return params
  const raw = pathOf(url).split('/')
  for (const [index, segment] of template.split('/').entries()) {
    if (segment.startsWith('{')) params[segment.slice(1, -1)] = decoded(raw[index] ?? '', segment.slice(1, -1))
  }
  return params
}

/** Query parameters; numbers where the schema wants them. A parameter that comes twice is refused. @throws {Refused} */
export function queryOf(url: string, integers: ReadonlySet<string>): Record<string, unknown> {
  const query: Record<string, unknown> = Object.create(null)
  const begin = url.indexOf('?')
  if (begin < 0) return {}
  const end = url.indexOf('#', begin)
  for (const pair of url.slice(begin + 1, end < 0 ? undefined : end).split('&')) {
    if (pair === '') continue
    const equals = pair.indexOf('=')
    const name = decoded((equals < 0 ? pair : pair.slice(0, equals)).replaceAll('+', ' '), 'query')
    const text = decoded((equals < 0 ? '' : pair.slice(equals + 1)).replaceAll('+', ' '), name)
    if (name in query) throw invalid('parameter', { name, message: `\`${name}\` is given twice.` })
    query[name] = integers.has(name) && /^[0-9]{1,15}$/.test(text) ? Number(text) : text
  }
  // With an ordinary prototype, as schemas expect; `__proto__` stays a name like any other.
  const plain: Record<string, unknown> = {}
  for (const [name, value] of Object.entries(query))
    Object.defineProperty(plain, name, { value, enumerable: true, configurable: true, writable: true })
  return plain
}

function decoded(text: string, name: string): string {
  try {
    return decodeURIComponent(text)
  } catch {
    throw malformed(name)
  }
}

function malformed(name: string): Refused {
  return invalid('parameter', { name, message: `\`${name}\` is not well-formed percent-encoded UTF-8.` })
}
