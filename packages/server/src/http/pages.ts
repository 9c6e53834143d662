/** Pages: `start` is opaque to clients; it holds the last name of the page before. */
import { PAGE_LIMIT_DEFAULT } from '@holdfast/protocol/limits'
import type { Call } from './call.ts'
import { foundAt } from './forwarded.ts'
import { pathOf } from './names.ts'
import { invalid, type Refused } from './reply.ts'

export function pageOptions(query: { limit?: number; start?: string }): { limit: number; after: string | null } {
  const limit = query.limit ?? PAGE_LIMIT_DEFAULT
  if (query.start === undefined) return { limit, after: null }
  const after = Buffer.from(query.start, 'base64url').toString('utf8')
  // Of bytes that are not UTF-8 other ones have been made by now.
  if (after === '' || Buffer.from(after).toString('base64url') !== query.start) throw invalidStart()
  return { limit, after }
}

/** What is no place to begin at must not look like the end. */
export function invalidStart(): Refused {
  return invalid('parameter', { name: 'start', message: '`start` must come from `next.start` of the page before.' })
}

type Page = { limit: number; first: { href: string }; next?: { href: string; start: string } }

/** `last`: what the next page begins after, if there is one. `asIs`: it is fit for a URL already. */
export function pageOf(
  call: Paged,
  { limit, last, asIs = false }: { limit: number; last: string | undefined; asIs?: boolean },
): Page {
  const url = hrefOf(call)
  const page: Page = { limit, first: { href: url.href } }
  if (last === undefined) return page
  const start = asIs ? last : Buffer.from(last).toString('base64url')
  url.searchParams.set('start', start)
  page.next = { href: url.href, start }
  return page
}

type Paged = Pick<Call, 'request' | 'doors'> & { query: object }

function hrefOf({ request, doors, query }: Paged): URL {
  const url = new URL(foundAt(request, doors))
  url.pathname = pathOf(request.raw.url ?? '/')
  for (const [name, value] of Object.entries(query)) if (name !== 'start') url.searchParams.set(name, String(value))
  return url
}
