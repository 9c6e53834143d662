/**
 * Secrets that are derived, never stored: a session's is an HMAC of its id under the key of the cluster, so that a retry
 * gets the same one and whoever reads the store learns none.
 */
import { createHmac, createSecretKey, hash, timingSafeEqual } from 'node:crypto'

/** 24 characters of base64url: 144 bits. */
const SECRET_CHARS = 24
/** Ids look like `s-2gosa7pa2gw`; a longer one is none of ours. */
export const SESSION_ID_CHARS_MAX = 128

export type SessionSecrets = {
  secretOf(instance: string, session: string): string
  /** `<id>.<secret>`: the id, if the secret is that session's. Says nothing of whether such a session exists. */
  open(instance: string, handle: string): string | null
}

export function sessionSecrets(clusterKey: string): SessionSecrets {
  const key = createSecretKey(clusterKey, 'utf8')
  const secretOf = (instance: string, session: string) =>
    createHmac('sha256', key).update(`${instance}\0session\0${session}`).digest('base64url').slice(0, SECRET_CHARS)
  return {
    secretOf,
    open(instance, handle) {
      const dot = handle.indexOf('.')
      if (dot < 1 || dot > SESSION_ID_CHARS_MAX) return null
      const session = handle.slice(0, dot)
      return isSame(handle.slice(dot + 1), secretOf(instance, session)) ? session : null
    },
  }
}

/** The first key of a cluster, the same on every server: derived like all others, so nothing has to be copied from server to server. */
export function rootKeyOf(clusterKey: string): string {
  return createHmac('sha256', clusterKey).update('root key').digest('base64url')
}

/** Compares in a time that does not depend on where the two differ. That a secret has another length is no secret. */
function isSame(one: string, other: string): boolean {
  const [given, expected] = [Buffer.from(one), Buffer.from(other)]
  return given.length === expected.length && timingSafeEqual(given, expected)
}

export function digestOf(text: string): Buffer {
  return hash('sha256', text, 'buffer')
}
