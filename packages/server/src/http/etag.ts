/** The version of a lock's configuration as an entity tag. */
import type { LockView } from '../locks/model.ts'
import { invalid } from './reply.ts'

/** At least 16 characters of base 36 (API Handbook). */
const CHARS = 16

export function etagOf(version: number): string {
  return `"${version.toString(36).padStart(CHARS, '0')}"`
}

export function etagHeaders(lock: LockView): Record<string, string> {
  return lock.config ? { etag: etagOf(lock.config.version) } : {}
}

/** A tag that no version has: what is well-formed but not ours matches nothing. */
const NO_VERSION = -1

/** @throws {Refused} when the header is malformed. */
export function ifMatch(header: string | undefined): number | '*' | null {
  if (header === undefined) return null
  if (header === '*') return '*'
  if (!/^(W\/)?"[\x21\x23-\x7e]*"$/.test(header)) {
    throw invalid('header', { name: 'If-Match', message: '`If-Match` must be one `ETag`, in quotes, or `*`.' })
  }
  const version = Number.parseInt(header.slice(1, -1), 36)
  // The comparison is strong: a weak tag matches nothing.
  return Number.isSafeInteger(version) && etagOf(version) === header ? version : NO_VERSION
}
