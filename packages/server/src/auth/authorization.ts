/** The header `Authorization` → the key or token in it. */
import { AUTHORIZATION_CHARS_MAX } from '@holdfast/protocol/limits'

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
