/**
 * Exactly once, as far as that goes: an effect happens at most once under a request id while that is remembered, which is as
 * long as its session lives or until the client has settled it. A repeat is answered with what is true *now*: a grant that has ended
 * answers `lock_lost`, however often it was granted before (SAFETY P15). Refusals are not remembered.
 */

import type { LostReason } from '@holdfast/protocol/errors'
import { SESSION_REQUESTS_MAX } from '@holdfast/protocol/limits'
import type { Draft } from './draft.ts'
import type { Grant, Remembered, Reply, RequestId } from './model.ts'
import { endingOf, grantOf, liveSession, type SessionState, type State } from './state.ts'
import { grantView, positionOf } from './views.ts'

/** What is remembered of the request; or why it can no longer be asked. */
export function recall(session: SessionState, request: RequestId | null): Remembered | 'settled' | null {
  if (request === null) return null
  if (typeof request === 'number' && request < session.settled) return 'settled'
  return session.requests?.get(request) ?? null
}

export const alreadySettled: Reply = {
  ok: false,
  code: 'invalid_request',
  field: 'id',
  message: 'This request id is below what the client has said is settled; it must not be repeated.',
}

export const usedOtherwise: Reply = {
  ok: false,
  code: 'invalid_request',
  field: 'request_id',
  message: 'This request id has been used for a different call of this session.',
}

export function isFull(session: SessionState): boolean {
  return (session.requests?.size ?? 0) >= SESSION_REQUESTS_MAX
}

/** Settling is logged once for this many requests, so that it costs next to nothing. */
const SETTLED_STEP = 128

/** Forgets the numbered requests below `settled`. */
export function settle(draft: Draft, id: string, settled: number | undefined): void {
  const session = draft.state.sessions.get(id)
  if (settled === undefined || !session || settled < session.settled + SETTLED_STEP) return
  draft.put({ type: 'settled', record: 'settled', session: id, value: settled })
}

/** The answer that an acquire gives, at first and when repeated. */
export function grantedReply(
  draft: { state: State; now: number },
  id: string,
  grants: readonly Grant[],
  waitedMs: number,
): Reply & { ok: true } {
  const session = liveSession(draft.state, id)
  return {
    ok: true,
    type: 'granted',
    session: id,
    grants: grants.map(grant => grantView(draft.state, grant, draft.now)),
    confers: { ttlMs: session?.record.ttlMs ?? 0, changes: session?.record.changes ?? 0 },
    waitedMs: Math.max(0, Math.floor(waitedMs)),
  }
}

/** A repeated acquire: granted if all it granted is still held, else what became of it. */
export function repeatAcquire(
  draft: { state: State; now: number },
  id: string,
  did: { lock: string; token: number }[],
): Reply & { ok: boolean } {
  const grants: Grant[] = []
  for (const { lock, token } of did) {
    const grant = grantOf(draft.state.locks.get(lock), token)
    if (!grant || grant.session !== id) return lost(draft.state, token)
    grants.push(grant)
  }
  return grantedReply(draft, id, grants, 0)
}

/** `lock_lost` with the reason as far as it is known; a grant that nobody remembers has most likely expired. */
export function lost(state: State, token: number | string | null): Reply & { ok: false } {
  const ending = token === null ? null : endingOf(state, token)
  const reason: LostReason = ending === null ? 'expired' : ending === 'released' ? 'session_closed' : ending
  return { ok: false, code: 'lock_lost', reason }
}

/** A repeat of a request that is still in line stays where it is. */
export function repeatWait(state: State, session: SessionState, request: RequestId | null): Reply | null {
  if (request === null) return null
  const waiter = session.waits.find(wait => wait.request === request)
  return waiter
    ? { ok: 'queued', ticket: waiter.ticket, session: waiter.session, position: positionOf(state, waiter) }
    : null
}
