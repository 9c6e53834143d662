/** Headers → who is calling and what they may. Knows no HTTP framework, so that every door shares it. */
import { timingSafeEqual } from 'node:crypto'
import type { Action } from '@holdfast/protocol/operation'
import { digestOf } from './secrets.ts'

export type Caller = {
  /** Whose credential it is: what the log and the audit trail name. */
  subject: string
  instance: string
  /** `lock` is a name or a prefix; null: what concerns no lock. */
  permits(action: Action, lock: string | null): boolean
}

/** null: no valid credential. */
export type Authenticate = (authorization: string | undefined) => Caller | null

/** The longest token (`TOKEN_CHARS_MAX`) as a password in base64 is longer still; as a bearer it fits. Whatever is longer is not worth hashing. */
export const AUTHORIZATION_CHARS_MAX = 8_448

/** The root key permits everything in the one instance there is. */
export function rootAuthenticator(rootKey: string): Authenticate {
  const expected = digestOf(rootKey)
  const root: Caller = { subject: 'root', instance: 'default', permits: () => true }
  return authorization => {
    const key = keyOf(authorization)
    if (key === null) return null
    return timingSafeEqual(digestOf(key), expected) ? root : null
  }
}

/** `Bearer <key>`, or Basic with any user and the key as the password. */
export function keyOf(authorization: string | undefined): string | null {
  if (!authorization || authorization.length > AUTHORIZATION_CHARS_MAX) return null
  const space = authorization.indexOf(' ')
  if (space < 0) return null
  const scheme = authorization.slice(0, space).toLowerCase()
  const rest = authorization.slice(space + 1).trim()
  if (rest === '') return null
  if (scheme === 'bearer') return rest
  if (scheme !== 'basic') return null
  const pair = Buffer.from(rest, 'base64').toString('utf8')
  const colon = pair.indexOf(':')
  return colon < 0 || colon === pair.length - 1 ? null : pair.slice(colon + 1)
}
