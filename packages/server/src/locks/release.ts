/** Giving up what one holds or waits for. Always by token: the token names the grant, so a late retry cannot end the one after it. */

import type { Draft } from './draft.ts'
import { endGrant, giveUp, pump, pumpAll } from './grants.ts'
import { memoryOf, remember } from './memory.ts'
import type { Command, Grant, Reply, RequestId } from './model.ts'
import { alreadySettled, confersNow, isStillHeld, lost, recall, refuseFull, usedOtherwise } from './requests.ts'
import { endingOf, grantOf, liveSession, type SessionState } from './state.ts'

type Of<Type extends Command['type']> = Extract<Command, { type: Type }>

/** All of the named grants or, when one of them has been lost, none. A grant that is entered more than once is left once. */
export function release(draft: Draft, command: Of<'release'>): Reply {
  const session = liveSession(draft.state, command.session)
  if (!session) return lostWithSession(draft, command)
  draft.touches = command.session
  const did = recall(session, command.request)
  if (did === 'settled') return alreadySettled
  if (did?.did === 'release') {
    // What is entered more than once may have been left once.
    if (did.left === 0 && command.grants.some(named => isStillHeld(draft.state, command.session, named)))
      return usedOtherwise
    return { ok: true, type: 'released', left: did.left, confers: confersNow(draft.state, command.session) }
  }
  if (did) return usedOtherwise
  const grants: Grant[] = []
  for (const { lock, token } of command.grants) {
    const grant = grantOf(draft.state.locks.get(lock), token)
    if (grant && grant.session === command.session) grants.push(grant)
    else {
      const ending = grant ? null : endingOf(draft.state, token)
      // Somebody else's, or never given, or so long ago that nobody knows: nothing more is claimed than that.
      if (ending === null) return draft.stale(lock, token)
      // Released before: nothing to do, and true. Ended otherwise: the holder must hear it.
      if (ending !== 'released') return lost(draft.state, token)
    }
  }
  // What stays held after it tells no repeat that it has been left: under an id that is only done where it can be remembered.
  const full = grants.some(isEnteredOften) ? refuseFull(session, command.request) : null
  if (full) return full
  const left = leaveAll(draft, session, grants, command)
  for (const grant of grants) pump(draft, grant.lock)
  // Only now: who is served next may have taken another lock of this very session.
  return { ok: true, type: 'released', left, confers: confersNow(draft.state, command.session) }
}

/** The session has ended, and its grants with it: as long as that is remembered the holder hears how. */
function lostWithSession(draft: Draft, { grants }: Of<'release'>): Reply {
  const ended = grants.find(({ token }) => !['released', null].includes(endingOf(draft.state, token)))
  return ended ? lost(draft.state, ended.token) : { ok: false, code: 'not_found', what: 'session' }
}

function isEnteredOften({ count }: Grant): boolean {
  return count > 1
}

/** Returns how often the one that is entered most often still is. */
function leaveAll(draft: Draft, from: SessionState, grants: readonly Grant[], command: Of<'release'>): number {
  const { session } = command
  // Giving back is never refused for want of memory: that a grant has ended is known by its token.
  const request = refuseFull(from, command.request) ? null : command.request
  const [only] = grants
  if (grants.length === 1 && only?.count === 1) {
    const remembers = memoryOf(draft.state, session, request, { did: 'release', left: 0 })
    endGrant(draft, only, { type: 'released', remembers })
    return 0
  }
  // What has ended before says so whenever it is asked.
  if (grants.length === 0) return 0
  let left = 0
  for (const grant of new Set(grants)) left = Math.max(left, leave(draft, grant))
  remember(draft, session, request, { did: 'release', left })
  return left
}

/** Leaves a grant once; returns how often it is still entered. */
function leave(draft: Draft, grant: Grant): number {
  if (grant.count > 1) {
    const value = { ...grant, count: grant.count - 1 }
    draft.put({ type: 'reentered', record: 'grant', lock: grant.lock, token: grant.token, value })
    return value.count
  }
  endGrant(draft, grant, { type: 'released' })
  return 0
}

/** `/v1`: the one grant of the session that was made for it; both end. */
export function releaseSingle(draft: Draft, command: Of<'release_single'>): Reply {
  const session = liveSession(draft.state, command.session)
  const grant = session?.grants.find(held => held.lock === command.lock)
  if (!session?.record.isSingle || !grant) {
    const ending = endingOf(draft.state, command.session)
    return ending === 'released'
      ? { ok: true, type: 'released', left: 0, confers: null }
      : lost(draft.state, command.session)
  }
  endGrant(draft, grant, { type: 'released' })
  draft.put({ type: 'session_ended', record: 'session', session: command.session, value: null })
  pump(draft, command.lock)
  return { ok: true, type: 'released', left: 0, confers: null }
}

/** Ends the session and all that it holds and waits for, in one batch; those who waited for it are served at once or in the next turns. */
export function endSession(draft: Draft, id: string, how: 'expired' | 'session_closed'): void {
  const session = liveSession(draft.state, id)
  if (!session) return
  const names: string[] = []
  for (const waiter of [...session.waits]) {
    giveUp(draft, waiter, { reason: how === 'expired' ? 'expired' : 'session_closed' })
    for (const claim of waiter.claims) names.push(claim.lock)
  }
  for (const grant of [...session.grants]) {
    endGrant(draft, grant, { type: how, isUnclean: how === 'expired' })
    names.push(grant.lock)
  }
  const delays = [...session.delays]
  // A session made for one wait has gone with it.
  if (liveSession(draft.state, id))
    draft.put({ type: 'session_ended', record: 'session', session: id, value: null, why: { reason: how } })
  // No promise outlives its session.
  for (const delay of delays) draft.follow({ type: 'end_delay', lock: delay.lock, token: delay.token, by: 'service' })
  pumpAll(draft, names)
}

export function closeSession(draft: Draft, command: Of<'close_session'>): Reply {
  if (!liveSession(draft.state, command.session)) return { ok: false, code: 'not_found', what: 'session' }
  endSession(draft, command.session, 'session_closed')
  return { ok: true, type: 'done' }
}

/** A session whose deadline has passed. Checked here once more: a renewal may have come since the timer was set. */
export function expireSession(draft: Draft, command: Of<'expire_session'>): Reply {
  const session = liveSession(draft.state, command.session)
  if (session && session.deadlineMs <= draft.now) endSession(draft, command.session, 'expired')
  return { ok: true, type: 'done' }
}

/** Takes a request back: out of the queue, or what it was granted is released. An acquire that arrives after its cancel is refused. */
export function cancel(draft: Draft, command: Of<'cancel'>): Reply {
  const session = liveSession(draft.state, command.session)
  if (!session) return { ok: false, code: 'not_found', what: 'session' }
  draft.touches = command.session
  const waiter = session.waits.find(wait => wait.request === command.cancels)
  if (waiter) {
    giveUp(draft, waiter, { reason: 'cancelled' })
    for (const claim of waiter.claims) pump(draft, claim.lock)
  }
  const did = recall(session, command.cancels)
  const grants = session.grants.filter(grant => isOfRequest(grant, command.cancels, did))
  for (const grant of grants) {
    leave(draft, grant)
    pump(draft, grant.lock)
  }
  if (did === 'settled') return { ok: true, type: 'done' }
  // Of a request that has not come, and perhaps never will: a session may have only so many of them.
  const full = !waiter && grants.length === 0 && did === null ? refuseFull(session, command.cancels) : null
  if (full) return full
  // Of what nothing takes back (a release, a write) the repeat is still to be answered.
  if (did === null || did.did === 'acquire') remember(draft, command.session, command.cancels, { did: 'cancel' })
  return { ok: true, type: 'done' }
}

/** Whether the request has granted it, and has not been taken back before. */
function isOfRequest(grant: Grant, request: RequestId, did: ReturnType<typeof recall>): boolean {
  if (did === null) return grant.request === request
  // Settled while it waited, and granted since: the grant still says which request it came of. Once it has been entered again it is another's too, and
  // whether this cancel is the first of its kind nobody knows any more.
  if (did === 'settled') return grant.request === request && grant.count === 1
  return did.did === 'acquire' && did.grants.some(({ token }) => token === grant.token)
}

/** The connection on which somebody waited has gone, or the wait's time is up. */
export function endWait(draft: Draft, command: Of<'abandon'> | Of<'end_wait'>): Reply {
  const waiter = draft.state.tickets.get(command.ticket)
  const isDue =
    command.type === 'abandon' || (waiter && waiter.waitMs !== null && waiter.sinceMs + waiter.waitMs <= draft.now)
  if (!waiter || !isDue) return { ok: true, type: 'done' }
  const refusal = command.type === 'abandon' ? command.refusal : undefined
  giveUp(draft, waiter, { reason: command.type === 'abandon' ? (refusal?.code ?? 'cancelled') : 'timeout' }, refusal)
  for (const claim of waiter.claims) pump(draft, claim.lock)
  return { ok: true, type: 'done' }
}
