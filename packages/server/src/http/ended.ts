/** Why something that was permitted is so no more, and how that is said. */
import type { Identity } from '../auth/identity.ts'
import type { Registry } from '../registry/port.ts'
import { type Refused, refuse } from './reply.ts'

/** Why it ended; on the wire. */
export type Ended =
  | 'credential_revoked'
  | 'credential_expired'
  | 'permission_revoked'
  | 'permission_unknown'
  | 'view_stale'

export const endedMessages: Record<Ended, string> = {
  credential_revoked: 'The credential has been revoked.',
  credential_expired: 'The credential has expired.',
  permission_revoked: 'The credential no longer permits this.',
  permission_unknown:
    'The decision point does not answer, so it is not known whether the credential permits this: ask again in a while.',
  view_stale:
    'This server has not heard of the store for a while, and does not know what is still permitted: ask another.',
}

/** What a wait or a stream is refused with that ends so. What is not known is no refusal for good. */
export function endedRefusal(reason: Ended): Refused {
  const isForNow = reason === 'view_stale' || reason === 'permission_unknown'
  return refuse(isForNow ? 'unavailable' : 'forbidden', endedMessages[reason])
}

/** Nothing is decided on records that may have changed since (SAFETY O3); the root key has no record. */
export function isStale({ kind }: Identity, { isFresh }: Pick<Registry, 'isFresh'>): boolean {
  return kind !== 'root' && !isFresh
}
