/** Liveness: opening, renewing, and what a client has seen of what happened to it. */
import { SESSIONS_MAX } from '@holdfast/protocol/limits'
import { sessionId } from './acquire.ts'
import type { Draft } from './draft.ts'
import { endDelay, pump } from './grants.ts'
import type { Command, Reply, Session } from './model.ts'
import { labelsOverQuota, sessionOverQuota } from './quota.ts'
import { lost, settle } from './requests.ts'
import { liveSession } from './state.ts'
import { grantView, waiterView } from './views.ts'
import { TOLD_BYTES_MAX } from './weight.ts'

type Of<Type extends Command['type']> = Extract<Command, { type: Type }>

export function openSession(draft: Draft, command: Of<'open_session'>): Reply {
  if (draft.isStorageFull) return { ok: false, code: 'storage_full' }
  if (draft.state.sessionCount >= SESSIONS_MAX)
    return { ok: false, code: 'quota_exceeded', limit: 'sessions', max: SESSIONS_MAX }
  const over = sessionOverQuota(draft) ?? labelsOverQuota(draft, command.labels)
  if (over) return over
  const number = draft.number()
  const session: Session = {
    number,
    id: sessionId(number),
    ttlMs: command.ttlMs,
    labels: command.labels,
    isSingle: false,
    by: draft.by,
    changes: 0,
    seenChanges: 0,
  }
  if (draft.from !== undefined) session.from = draft.from
  if (command.credential !== undefined) session.credential = command.credential
  draft.put({ type: 'session_opened', record: 'session', session: session.id, value: session, why: { by: draft.by } })
  draft.touches = session.id
  return { ok: true, type: 'session', session }
}

/**
 * Confers time. A longer TTL is in the log before it is answered, for a new owner goes by what is recorded; a shorter one is answered, but
 * not recorded: no deadline that has been promised moves back (SAFETY P9, O8).
 */
export function renew(draft: Draft, command: Of<'renew'>): Reply {
  const session = liveSession(draft.state, command.session)
  if (!session) return { ok: false, code: 'not_found', what: 'session' }
  draft.touches = command.session
  settle(draft, command.session, command.settled)
  const ttlMs = lengthen(draft, session.record, command.ttlMs)
  acknowledge(draft, command.session, command.seenChanges)
  const { changes } = liveSession(draft.state, command.session)?.record ?? session.record
  const isBehind = command.seenChanges !== undefined && command.seenChanges < changes
  const grants =
    isBehind || command.wantsGrants ? session.grants.map(grant => grantView(draft.state, grant, draft.now)) : null
  const { epoch } = draft.state
  return { ok: true, type: 'renewed', session: command.session, confers: { ttlMs, changes }, grants, epoch }
}

function lengthen(draft: Draft, record: Session, ttlMs: number | undefined): number {
  if (ttlMs === undefined || ttlMs <= record.ttlMs) return ttlMs ?? record.ttlMs
  draft.put({ type: 'session_changed', record: 'session', session: record.id, value: { ...record, ttlMs } })
  return ttlMs
}

/** The client says that it has processed the changes up to `seen`: promises that rested on its not knowing end. */
function acknowledge(draft: Draft, id: string, seen: number | undefined): void {
  const session = liveSession(draft.state, id)
  if (!session || seen === undefined || seen <= session.record.seenChanges) return
  const record: Session = { ...session.record, seenChanges: Math.min(seen, session.record.changes) }
  if (record.seenChanges === session.record.seenChanges) return
  draft.put({ type: 'session_changed', record: 'session', session: id, value: record })
  for (const delay of [...session.delays]) {
    if (!draft.fits(TOLD_BYTES_MAX))
      draft.follow({ type: 'end_delay', lock: delay.lock, token: delay.token, by: 'service' })
    else if (endDelay(draft, delay)) pump(draft, delay.lock)
  }
}

/** `/v1`: renews the session by the one grant that it was made for. */
export function renewSingle(draft: Draft, command: Of<'renew_single'>): Reply {
  const session = liveSession(draft.state, command.session)
  const grant = session?.grants.find(held => held.lock === command.lock)
  if (!session?.record.isSingle || !grant) return lost(draft.state, command.session)
  draft.touches = command.session
  const ttlMs = lengthen(draft, session.record, command.ttlMs)
  const grants = [grantView(draft.state, grant, draft.now)]
  return {
    ok: true,
    type: 'renewed',
    session: command.session,
    confers: { ttlMs, changes: session.record.changes },
    grants,
    epoch: draft.state.epoch,
  }
}

export function showSession(draft: Draft, command: Of<'show_session'>): Reply {
  const session = liveSession(draft.state, command.session)
  if (!session) return { ok: false, code: 'not_found', what: 'session' }
  const waits = session.waits.map(waiter => {
    const lock = waiter.claims[0]?.lock ?? ''
    const position = (draft.state.locks.get(lock)?.queue.indexOf(waiter) ?? 0) + 1
    return waiterView(waiter, { lock, position }, draft.now)
  })
  const grants = session.grants.map(grant => grantView(draft.state, grant, draft.now))
  return { ok: true, type: 'session_view', session: session.record, grants, waits }
}
