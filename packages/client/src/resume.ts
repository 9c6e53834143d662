/** Opening a session, finding it again, and leaving it: what is said at the door, and what is made of the answer. */
import type { WireError } from '@holdfast/protocol/errors'
import type { ClientHello, WireGrant } from '@holdfast/protocol/frame'
import { AcquireRequest } from './acquire.ts'
import type { Clock } from './clock.ts'
import type { Mailbox } from './mailbox.ts'
import type { SessionOptions } from './options.ts'
import { PlainRequest, RenewRequest, type Request } from './requests.ts'

/** `session`: `<id>.<secret>` of the one to resume; null: open a new one. */
export function helloOf({ credential, instance, ttlMs, labels }: SessionOptions, session: string | null): ClientHello {
  const hello: ClientHello = { type: 'hello' }
  const { authorization } = credential
  if (authorization !== undefined) hello.authorization = authorization
  if (instance !== undefined) hello.instance = instance
  if (session !== null) hello.session = session
  else {
    hello.ttl_ms = ttlMs
    if (labels) hello.labels = labels
  }
  return hello
}

/**
 * Of the grants that the server lists on resume and no handle stands for, those to be given back, as often as each was entered: all but what an
 * unanswered request stands for, and what was transferred to this session and nobody has taken up. What was given up and is held again came back with a
 * store that was restored. What is given back once too often is taken from whoever has entered it meanwhile; so what is in doubt is left.
 */
export function unexpected(
  grants: readonly WireGrant[],
  mailbox: Mailbox,
  wasTakenUp: (token: number) => boolean,
): WireGrant[] {
  const isGift = ({ request_id: id, token }: WireGrant) => typeof id !== 'number' && !wasTakenUp(token)
  const isExpected = (grant: WireGrant) => mailbox.all().some(request => mayStandFor(request, grant, mailbox.settled))
  return grants
    .filter(grant => !isGift(grant) && !isExpected(grant))
    .flatMap(grant => Array.from({ length: grant.count ?? 1 }, () => grant))
}

/** Whether it has asked for the grant or may have entered it, and nobody has heard; or will give it back, or an entry of it. */
function mayStandFor(request: Request, { name, token, request_id: id }: WireGrant, settled: number): boolean {
  const { body } = request
  if (body.type === 'release') return body.token === token
  // Of the request that it was granted to, or of a later one that has entered it.
  if (body.type === 'cancel') return typeof id !== 'number' || body.request_id >= id
  if (!(request instanceof AcquireRequest)) return false
  if (request.id === id) return !request.isAbandoned && id >= settled
  return request.body.reentrant === true && request.name === name
}

/** Whether the error says that the session itself no longer exists. `request`: what it answers; none: the hello. */
export function isSessionGone(wire: WireError, request?: Request): boolean {
  if (request === undefined || request instanceof RenewRequest) {
    return wire.code === 'not_found' || wire.code === 'lock_lost' || wire.code === 'unauthenticated'
  }
  return wire.code === 'not_found' && wire.what === 'session'
}

/**
 * What a refused hello means. A credential that is refused is no end of the session where another one may be had, or another server may know better: it
 * lives on at the service, what it holds is nobody else's, and is believed until its deadline, `beliefMs` from now. null: there is no session.
 */
export function outcomeOf(
  wire: WireError,
  beliefMs: number | null,
  { credential, socketUrls }: Pick<SessionOptions, 'credential' | 'socketUrls'>,
): 'session gone' | 'not now' | 'never' {
  const mayBeLetIn = credential.isAsked || socketUrls.length > 1
  if (beliefMs !== null && beliefMs > 0 && wire.code === 'unauthenticated' && mayBeLetIn) return 'not now'
  if (beliefMs !== null && isSessionGone(wire)) return 'session gone'
  return ['unavailable', 'rate_limited', 'quota_exceeded'].includes(wire.code) ? 'not now' : 'never'
}

/** Whether the server has forgotten, as settled, the id of a wait that it still had in line when it last said so. */
export function isForgottenWait(wire: WireError, request: Request, mailbox: Mailbox): boolean {
  return wire.code === 'invalid_request' && request.isQueued && request.id < mailbox.settled
}

/** How long leaving waits for the service to hear of it. */
const GOODBYE_MS_MAX = 2_000

/** Ends the session at the server. Returns whether it surely has ended; else it does by itself. */
export async function sayGoodbye(
  session: { submit(request: Request): void },
  clock: Clock,
  withinMs: number,
): Promise<boolean> {
  const { promise, resolve } = Promise.withResolvers<boolean>()
  const cancel = clock.after(Math.min(GOODBYE_MS_MAX, withinMs), () => resolve(false))
  // It is refused only when there is no such session any more.
  const answer = { resolve: () => resolve(true), reject: () => resolve(true), survives: false }
  session.submit(new PlainRequest({ id: 0, type: 'close' }, answer))
  const hasEnded = await promise
  cancel()
  return hasEnded
}
