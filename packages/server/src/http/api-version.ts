/** The header that picks a dated minor version. There is one so far, so any date from then until today means it. */
import type { IncomingHttpHeaders } from 'node:http'
import { Refused } from './reply.ts'

/** The day of the first version. */
const OLDEST = '2026-11-01'
const NEWEST = OLDEST
const DATE_PATTERN = /^[0-9]{4}-[0-9]{2}-[0-9]{2}$/

export type ApiVersion = { header: 'API-Version' | 'IBM-API-Version'; version: string }

/** @throws {Refused} for a version that is malformed, too old or not yet there. */
export function apiVersion(headers: IncomingHttpHeaders, wallMs: number): ApiVersion {
  const header =
    headers['api-version'] === undefined && headers['ibm-api-version'] !== undefined ? 'IBM-API-Version' : 'API-Version'
  const given = headers['api-version'] ?? headers['ibm-api-version']
  if (given === undefined) return { header, version: NEWEST }
  const version = String(given)
  const today = new Date(wallMs).toISOString().slice(0, 10)
  if (isDate(version) && version >= OLDEST && version <= today) return { header, version }
  throw new Refused({
    code: 'invalid_request',
    message: `\`${header}\` must be a date (YYYY-MM-DD) from ${OLDEST} to today, ${today}, or be left out.`,
    target: { type: 'header', name: header },
  })
}

function isDate(text: string): boolean {
  const date = new Date(`${text}T00:00:00Z`)
  // 2026-02-31 is no date: it reads as another one, or as none.
  return DATE_PATTERN.test(text) && !Number.isNaN(date.getTime()) && date.toISOString().startsWith(text)
}
