/** The header `Authorization` → the key or token in it. */

/** The longest token (`TOKEN_CHARS_MAX`) as a password in base64 is longer still; as a bearer it fits. Whatever is longer is not worth hashing. */
export const AUTHORIZATION_CHARS_MAX = 8_448

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
