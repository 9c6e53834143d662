/**
 * Exactly once, as far as that goes: an effect happens at most once under a request id while that is remembered, which is as
 * long as its session lives or until the client has settled it. A repeat is answered with what is true *now*: a grant that has ended
 * answers `lock_lost`, however often it was granted before (SAFETY P15). Refusals are not remembered.
 *
 * The same id with another body is another request by mistake, and must not be answered with what the first one did: whoever asks for `b`
 * would believe in a grant of `a`. Bodies are not remembered; what is (the locks, their grants, a waiter's claims) tells most of them apart.
 */

import type { LostReason } from '@holdfast/protocol/errors'
import { SESSION_REQUESTS_MAX } from '@holdfast/protocol/limits'
import type { Draft } from './draft.ts'
import type { Acquire, Claim, Grant, Refusal, Remembered, Reply, RequestId } from './model.ts'
import { covers } from './queue.ts'
import { endingOf, grantOf, liveSession, type SessionState, type State } from './state.ts'
import { grantView, positionOf } from './views.ts'

/** What is remembered of the request; or why it can no longer be asked. */
export function recall(session: SessionState, request: RequestId | null): Remembered | 'settled' | null {
  if (request === null) return null
  if (typeof request === 'number' && request < session.settled) return 'settled'
  return session.requests?.get(request) ?? null
}

export const alreadySettled: Refusal = {
  ok: false,
  code: 'invalid_request',
  field: 'id',
  message: 'This request id is below what the client has said is settled; it must not be repeated.',
}

export const usedOtherwise: Refusal = {
  ok: false,
  code: 'invalid_request',
  field: 'request_id',
  message: 'This request id has been used for a different call of this session.',
}

/** Why the session cannot remember this request; null if it can, or need not. */
export function refuseFull(session: SessionState, request: RequestId | null): Refusal | null {
  if (request === null || (session.requests?.size ?? 0) < SESSION_REQUESTS_MAX) return null
  return { ok: false, code: 'quota_exceeded', limit: 'session_requests', max: SESSION_REQUESTS_MAX }
}

/** Settling is logged once for this many requests, so that it costs next to nothing. */
const SETTLED_STEP = 128

/** Forgets the numbered requests below `settled`. */
export function settle(draft: Draft, id: string, settled: number | undefined): void {
  const session = draft.state.sessions.get(id)
  if (settled === undefined || !session || settled < session.settled + SETTLED_STEP) return
  draft.put({ type: 'settled', record: 'settled', session: id, value: settled })
}

/** What an answer gives to its session: to be read when all that the decision does has been done, for it confers time on what is held after that. */
export function confersNow(state: State, id: string): { ttlMs: number; changes: number } {
  const { ttlMs = 0, changes = 0 } = liveSession(state, id)?.record ?? {}
  return { ttlMs, changes }
}

/** The answer that an acquire gives, at first and when repeated. */
export function grantedReply(
  draft: { state: State; now: number },
  id: string,
  grants: readonly Grant[],
  waitedMs: number,
): Reply & { ok: true } {
  return {
    ok: true,
    type: 'granted',
    session: id,
    grants: grants.map(grant => grantView(draft.state, grant, draft.now)),
    confers: confersNow(draft.state, id),
    waitedMs: Math.max(0, Math.floor(waitedMs)),
  }
}

/** A repeated acquire: granted if all it granted is still held, else what became of it. */
export function repeatAcquire(
  draft: { state: State; now: number },
  command: Acquire & { session: string },
  did: readonly { lock: string; token: number }[],
): Reply & { ok: boolean } {
  const claims = pairsOf(command.claims, did)
  if (!claims) return usedOtherwise
  const grants: Grant[] = []
  let gone: number | null = null
  for (const { lock, token } of did) {
    const grant = grantOf(draft.state.locks.get(lock), token)
    if (!grant || grant.session !== command.session) gone ??= token
    else if (isAskedBy(grant, claims.get(lock), command)) grants.push(grant)
    else return usedOtherwise
  }
  return gone === null ? grantedReply(draft, command.session, grants, 0) : lost(draft.state, gone)
}

/** The claims by their locks, if they are those of the request; in which order does not matter. */
function pairsOf(claims: readonly Claim[], asked: readonly { lock: string }[]): Map<string, Claim> | null {
  const byLock = new Map(claims.map(claim => [claim.lock, claim]))
  return claims.length === asked.length && asked.every(({ lock }) => byLock.has(lock)) ? byLock : null
}

function isAskedBy(grant: Grant, claim: Claim | undefined, { isReentrant }: Acquire): boolean {
  // What was entered once more may be stronger than what was asked for.
  if (claim && isReentrant) return covers(grant, claim)
  return grant.mode === claim?.mode && grant.permits === claim.permits
}

/** Settled while it waited, and granted since: the grants still say which request they came of. */
export function repeatSettled(draft: Draft, session: SessionState, command: Acquire & { session: string }): Reply {
  const grants = session.grants.filter(grant => grant.request === command.request)
  if (grants.length === 0) return alreadySettled
  // Of a set that is no longer whole nobody may believe that it is.
  if (grants.length < command.claims.length) return lost(draft.state, null)
  return repeatAcquire(draft, command, grants)
}

/** `lock_lost` with the reason as far as it is known; a grant that nobody remembers has most likely expired. */
export function lost(state: State, token: number | string | null): Reply & { ok: false } {
  const ending = token === null ? null : endingOf(state, token)
  const reason: LostReason = ending === null ? 'expired' : ending === 'released' ? 'session_closed' : ending
  return { ok: false, code: 'lock_lost', reason }
}

/** What a request ended under its token stays ended: a repeat that names a grant which the session has is not the same request. */
export function isStillHeld(state: State, session: string, { lock, token }: { lock: string; token: number }): boolean {
  return grantOf(state.locks.get(lock), token)?.session === session
}

/** A repeat of a request that is still in line stays where it is. */
export function repeatWait(state: State, session: SessionState, command: Acquire): Reply | null {
  if (command.request === null) return null
  const waiter = session.waits.find(wait => wait.request === command.request)
  if (!waiter) return null
  const claims = pairsOf(command.claims, waiter.claims)
  const isSame = waiter.claims.every(({ lock, mode, permits }) => {
    const claim = claims?.get(lock)
    return claim?.mode === mode && claim.permits === permits
  })
  if (!isSame) return usedOtherwise
  return { ok: 'queued', ticket: waiter.ticket, session: waiter.session, position: positionOf(state, waiter) }
}
