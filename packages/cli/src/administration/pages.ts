/** Lists of records, page after page. */
import type { Rest } from '@holdfast/client'

const PAGE_LIMIT = 200

/** All rows of a list, in the order of their ids. `name` is what the pages call them. */
export async function allOf<Row>(
  rest: Rest,
  path: string,
  name: string,
  query: Record<string, string> = {},
): Promise<Row[]> {
  const rows: Row[] = []
  let start: string | undefined
  do {
    const page: Record<string, unknown> & { next?: { start: string } } = await rest.call('GET', path, {
      query: { ...query, limit: PAGE_LIMIT, start },
    })
    // What the operation declares.
    rows.push(...(page[name] as Row[]))
    start = page.next?.start
  } while (start !== undefined)
  return rows
}
