/** Entity tags: of a lock the version of its configuration, of what is administered what is shown of it. */
import { createHash } from 'node:crypto'
import type { Expecting } from '../administration/administration.ts'
import type { IfVersion, LockView } from '../locks/model.ts'
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

/** @throws {Refused} when the header is malformed. */
export function ifMatch(header: string | undefined): IfVersion {
  const tags = tagsIn(header)
  if (tags === null || tags === '*') return tags
  // What is well-formed but not ours matches nothing.
  const versions = tags.map(versionOf).filter(version => version !== null)
  // Servers from before there were lists understand a single one.
  return versions.length === 1 ? versions[0]! : versions
}

/** The comparison is strong: a weak tag is no version. */
function versionOf(tag: string): number | null {
  const version = Number.parseInt(tag.slice(1, -1), 36)
  return Number.isSafeInteger(version) && etagOf(version) === tag ? version : null
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
  const tags = tagsIn(header)
  if (tags === null) return {}
  return {
    expects(before) {
      if (before === null || (tags !== '*' && !tags.includes(etagOfShown(show(before)))))
        throw new Refused(refused({ ok: false, code: 'precondition_failed' }))
    },
  }
}

/** A comma may stand in a tag too. */
const TAG = /(?:W\/)?"[\x21\x23-\x7e]*"/g
/** In place of a tag; no header can hold it. */
const MARK = '\0'

/** Several are a list with commas, in which members may be empty (RFC 9110, 5.6.1). */
function tagsIn(header: string | undefined): readonly string[] | '*' | null {
  if (header === undefined || header === '*') return header ?? null
  const members = header.replaceAll(TAG, MARK).split(',')
  const tags = header.match(TAG)
  if (tags && members.every(member => ['', MARK].includes(member.trim()))) return tags
  throw invalid('header', { name: 'If-Match', message: '`If-Match` must be `ETag`s, in quotes, or `*`.' })
}
