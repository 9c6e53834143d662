/** What a holder can do with its grant, by token: pass it on, write the lock's value, have it confirmed. */

import { sessionLimit } from './acquire.ts'
import { breakDeadlocksBehind } from './deadlock.ts'
import type { Draft } from './draft.ts'
import { endGrant, pump, putValue } from './grants.ts'
import { remember } from './memory.ts'
import type { Command, Grant, Reply, Why } from './model.ts'
import { notify } from './preemption.ts'
import { valueOverQuota } from './quota.ts'
import { alreadySettled, isStillHeld, recall, refuseFull, usedOtherwise } from './requests.ts'
import { endingOf, grantOf, liveSession } from './state.ts'
import { grantView } from './views.ts'
import { noteWhose } from './whose.ts'

type Of<Type extends Command['type']> = Extract<Command, { type: Type }>

/** Hands the grant to another session in one step, under a new token: whoever still uses the old one is fenced (SAFETY O5). */
export function transfer(draft: Draft, command: Of<'transfer'>): Reply {
  const from = liveSession(draft.state, command.session)
  if (!from) return { ok: false, code: 'not_found', what: 'session' }
  draft.touches = command.session
  const did = recall(from, command.request)
  if (did === 'settled') return alreadySettled
  if (did) {
    if (did.did !== 'transfer' || isStillHeld(draft.state, command.session, command)) return usedOtherwise
    return { ok: true, type: 'transferred', token: did.token }
  }
  const grant = ownGrant(draft, command)
  if (!('token' in grant)) return grant
  const unremembered = refuseFull(from, command.request)
  if (unremembered) return unremembered
  const to = liveSession(draft.state, command.toSession)
  if (!to || to.record.isSingle) {
    return {
      ok: false,
      code: 'invalid_request',
      field: 'to_session',
      message: 'There is no such session to transfer to.',
    }
  }
  const full = sessionLimit(to, [grant])
  if (full) return full
  const { notice } = grant
  endGrant(draft, grant, { type: 'transferred', reason: 'transferred' })
  const holder = to.record.labels?.holder ?? command.toSession
  // The hold goes on: a longest hold counts from its beginning.
  const value: Grant = {
    ...grant,
    token: draft.number(grant.permits),
    session: command.toSession,
    holder,
    task: '',
    request: null,
    count: 1,
    notice: null,
  }
  const change = draft.change(command.toSession)
  const told: Why = { by: grant.holder, reason: 'transferred', session: command.toSession, change }
  const why = noteWhose(told, draft.state, command.toSession, undefined)
  draft.put({ type: 'granted', record: 'grant', lock: value.lock, token: value.token, value, why })
  if (notice) {
    notify(draft, value, { ...notice, graceMs: Math.max(0, notice.endsMs - draft.now) })
    // Its time may be over.
    pump(draft, value.lock)
  }
  remember(draft, command.session, command.request, { did: 'transfer', token: value.token })
  breakDeadlocksBehind(draft, value, [value])
  return { ok: true, type: 'transferred', token: value.token }
}

/** The grant that the command's token names, if the session holds it; else why it does not. */
function ownGrant(
  draft: Draft,
  command: { session: string; lock: string; token: number },
): Grant | (Reply & { ok: false }) {
  const grant = grantOf(draft.state.locks.get(command.lock), command.token)
  if (grant && grant.session === command.session) return grant
  const ending = endingOf(draft.state, command.token)
  if (ending && ending !== 'released' && !grant) return { ok: false, code: 'lock_lost', reason: ending }
  return draft.stale(command.lock, command.token)
}

export function writeValue(draft: Draft, command: Of<'write_value'>): Reply {
  const session = liveSession(draft.state, command.session)
  if (!session) return { ok: false, code: 'not_found', what: 'session' }
  draft.touches = command.session
  const did = recall(session, command.request)
  if (did === 'settled') return alreadySettled
  const lock = draft.state.locks.get(command.lock)
  if (did) {
    const value = did.did === 'write' ? lock?.value : null
    // Versions only grow: what was written then has not gone from this lock, or was written over; and it was this text.
    if (!value || did.did !== 'write' || value.version < did.version) return usedOtherwise
    return value.version === did.version && value.value !== command.value
      ? usedOtherwise
      : { ok: true, type: 'written', value }
  }
  const grant = grantOf(lock, command.token)
  if (!grant || grant.session !== command.session) return draft.stale(command.lock, command.token)
  if (draft.isStorageFull) return { ok: false, code: 'storage_full' }
  const over = refuseFull(session, command.request) ?? valueOverQuota(draft, lock?.value ?? null, command.value)
  if (over) return over
  putValue(draft, grant, command.value)
  const value = draft.state.locks.get(command.lock)?.value
  if (!value) throw new Error('a value that was put is not there')
  remember(draft, command.session, command.request, { did: 'write', version: value.version })
  return { ok: true, type: 'written', value }
}

/** True when answered, not when acted upon: the resource must still compare tokens. */
export function validate(draft: Draft, command: Of<'validate'>): Reply {
  const grant = grantOf(draft.state.locks.get(command.lock), command.token)
  return grant
    ? { ok: true, type: 'valid', grant: grantView(draft.state, grant, draft.now) }
    : draft.stale(command.lock, command.token)
}
