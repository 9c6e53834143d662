/** Opening a session, finding it again, and leaving it: what is said at the door, and what is made of the answer. */
import type { WireError } from '@holdfast/protocol/errors'
import type { ClientHello, WireGrant } from '@holdfast/protocol/frame'
import { AcquireRequest, CancelRequest } from './acquire.ts'
import type { Clock } from './clock.ts'
import type { Mailbox } from './mailbox.ts'
import type { SessionOptions } from './options.ts'
import { PlainRequest, QuietRequest, ReleaseRequest, RenewRequest, type Request } from './requests.ts'

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
 * Of the grants that the server lists on resume and no handle stands for, those to be given back, as often as each was entered: all but what an unanswered request
 * asked for, may have entered, or will give back, and what was transferred to this session and nobody has taken up. What was given up and is
 * held again came back with a store that was restored.
 */
export function unexpected(
  grants: readonly WireGrant[],
  mailbox: Mailbox,
  wasTakenUp: (token: number) => boolean,
): WireGrant[] {
  return grants
    .filter(grant => !isExpected(grant, mailbox, wasTakenUp))
    .flatMap(grant => Array.from({ length: grant.count ?? 1 }, () => grant))
}

function isExpected(grant: WireGrant, mailbox: Mailbox, wasTakenUp: (token: number) => boolean): boolean {
  const { request_id: id, token } = grant
  if (typeof id === 'number') {
    const request = mailbox.pending.get(id)
    if (request instanceof AcquireRequest && !request.isAbandoned) return id >= mailbox.settled
  } else if (!wasTakenUp(token)) return true
  return mailbox.all().some(one => givesBack(one, grant) || mayHaveEntered(one, grant))
}

/** A cancel leaves what its request was granted, once: given back beside it, it would be an entry of somebody else that is left. */
function givesBack({ body }: Request, { token, request_id }: WireGrant): boolean {
  return (body.type === 'release' && body.token === token) || (body.type === 'cancel' && body.request_id === request_id)
}

/** It is held as often as it was entered: also for whoever has not heard yet, or will be taken back. */
function mayHaveEntered(request: Request, { name }: WireGrant): boolean {
  const { body } = request instanceof CancelRequest ? request.taken : request
  return body.type === 'acquire' && body.name === name && body.reentrant === true
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

/**
 * Whether it is asked again soon: of what is unknown, and of what keeps or gives back and found no room just then. Who gives back believes in it no more; a
 * session that lives on would hold it for nobody.
 */
export function isAskedAgain({ code }: WireError, request: Request): boolean {
  const givesBack = request instanceof ReleaseRequest || request instanceof QuietRequest
  if (code === 'quota_exceeded') return givesBack
  return code === 'unavailable' || (code === 'rate_limited' && (givesBack || request instanceof RenewRequest))
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
