/** Entity tags: of a lock the version of its configuration, of what is administered what is shown of it. */
import { createHash } from 'node:crypto'
import type { Expecting } from '../administration/administration.ts'
import type { LockView } from '../locks/model.ts'
import { answer } from './call.ts'
import { invalid, Refused, refused } from './reply.ts'

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
  const tag = tagIn(header)
  if (tag === null || tag === '*') return tag
  const version = Number.parseInt(tag.slice(1, -1), 36)
  // The comparison is strong: a weak tag matches nothing.
  return Number.isSafeInteger(version) && etagOf(version) === tag ? version : NO_VERSION
}

/** Of 128 bits; with fewer digits only by chance, and then padded. */
const DIGEST_CHARS = 25

/**
 * Records have no version. Whatever shows itself differently has another tag, and what is changed back to what it was has the same one again: who
 * has read it then has read what is there.
 */
export function etagOfShown(shown: object): string {
  const digest = createHash('sha256').update(JSON.stringify(shown)).digest('hex').slice(0, 32)
  return `"${BigInt(`0x${digest}`).toString(36).padStart(DIGEST_CHARS, '0')}"`
}

/** The answer with what is shown, and its tag. */
export function shown<const Status extends number, const Shown extends object>(status: Status, body: Shown) {
  return answer(status, body, { etag: etagOfShown(body) })
}

/** What a change of a record expects to find, by its `If-Match`; `show` is how the record is answered. @throws {Refused} when it is malformed. */
export function expecting<Kept>(header: string | undefined, show: (record: Kept) => object): Expecting<Kept> {
  const tag = tagIn(header)
  if (tag === null) return {}
  return {
    expects(before) {
      if (before === null || (tag !== '*' && tag !== etagOfShown(show(before))))
        throw new Refused(refused({ ok: false, code: 'precondition_failed' }))
    },
  }
}

function tagIn(header: string | undefined): string | null {
  if (header === undefined || header === '*' || /^(W\/)?"[\x21\x23-\x7e]*"$/.test(header)) return header ?? null
  throw invalid('header', { name: 'If-Match', message: '`If-Match` must be one `ETag`, in quotes, or `*`.' })
}
