/** For the tests of this room and of the doors: somebody. */
import type { Identity } from '../auth/identity.ts'

/** Known by a key of no instance, with nothing but what is named. */
export function person(fields: Partial<Identity> = {}): Identity {
  return {
    subject: 'key:ann',
    groups: [],
    kind: 'key',
    credential: null,
    account: null,
    instance: null,
    roles: [],
    expiresAtMs: null,
    scope: null,
    ...fields,
  }
}

export const rootIdentity: Identity = person({ subject: 'root', kind: 'root' })
