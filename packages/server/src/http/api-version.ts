/** The header that picks a dated minor version. There is one so far, so any date from then until today means it. */
import type { IncomingHttpHeaders } from 'node:http'
import { invalid, type Refused } from './reply.ts'

/** The day of the first version. */
const OLDEST = '2026-11-01'
const NEWEST = OLDEST
const DATE_PATTERN = /^[0-9]{4}-[0-9]{2}-[0-9]{2}$/

export type ApiVersion = { header: 'API-Version' | 'IBM-API-Version'; version: string }

/** Of whoever names none. */
export const newestVersion: ApiVersion = { header: 'API-Version', version: NEWEST }

/** What the reply says; or why there is no such version: it is malformed, too old or not yet there, or two are asked for. */
export function apiVersion(headers: IncomingHttpHeaders, wallMs: number): ApiVersion | Refused {
  const { 'api-version': own, 'ibm-api-version': alias } = headers
  const given = own ?? alias
  if (given === undefined) return newestVersion
  const header = own === undefined ? 'IBM-API-Version' : 'API-Version'
  if (alias !== undefined && alias !== given)
    return invalid('header', { name: header, message: '`API-Version` and `IBM-API-Version` name two versions.' })
  const version = String(given)
  const today = new Date(wallMs).toISOString().slice(0, 10)
  if (isDate(version) && version >= OLDEST && version <= today) return { header, version }
  const message = `\`${header}\` must be a date (YYYY-MM-DD) from ${OLDEST} to today, ${today}, or be left out.`
  return invalid('header', { name: header, message })
}

function isDate(text: string): boolean {
  const date = new Date(`${text}T00:00:00Z`)
  // 2026-02-31 is no date: it reads as another one, or as none.
  return DATE_PATTERN.test(text) && !Number.isNaN(date.getTime()) && date.toISOString().startsWith(text)
}
