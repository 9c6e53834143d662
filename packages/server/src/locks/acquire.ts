/** Asking for locks: one or a set, in one step or none. */

import {
  IDEMPOTENCY_KEYS_MAX,
  QUEUE_WAITERS_MAX,
  REENTRY_MAX,
  SESSION_ENDING_BYTES_MAX,
  SESSION_LOCKS_MAX,
  SESSIONS_MAX,
} from '@holdfast/protocol/limits'
import { breakDeadlocks, breakDeadlocksBehind, noteOrder } from './deadlock.ts'
import type { Draft } from './draft.ts'
import { canEndAtOnce, endingUnits } from './ending-bytes.ts'
import { freezeOf, grantAll, pump } from './grants.ts'
import { remember } from './memory.ts'
import type { Acquire, Claim, Held, Refusal, Reply, Session, Waiter, Why } from './model.ts'
import { canGrantAtOnce, covers, limitOf, misfitOf, queuesWith, rankOf } from './queue.ts'
import { grantOverQuota, waitOverQuota } from './quota.ts'
import {
  grantedReply,
  lost,
  recall,
  refuseFull,
  repeatAcquire,
  repeatSettled,
  repeatWait,
  usedOtherwise,
} from './requests.ts'
import { liveSession, type SessionState, type State } from './state.ts'
import { heldView, positionOf, reasonNotFree } from './views.ts'
import { beyondBatch } from './weight.ts'
import { noteWhose } from './whose.ts'

type Asked = { id: string; number: number; holder: string; isNew: boolean; ttlMs: number }

export function acquire(draft: Draft, command: Acquire): Reply {
  const repeated = repeat(draft, command)
  if (repeated) return repeated
  // Before the line and a freeze: an entry is no new grant, and who holds, holds on.
  const entered = command.isReentrant ? reenter(draft, command) : null
  if (entered) return entered
  const rank = rankOf(draft.now, command.priority)
  const refused = refusal(draft.state, command, rank)
  if (refused) return refused
  if (draft.isStorageFull) return { ok: false, code: 'storage_full' }
  const full = overLimit(draft.state, command)
  if (full) return full
  const asked = sessionOf(draft, command)
  draft.touches = asked.id
  if (canGrantAtOnce(draft.state, command.claims, rank)) {
    const over = grantOverQuota(draft, command)
    if (over) return unopened(draft, command, over)
    open(draft, command, asked)
    noteOrder(draft, { session: asked.id, task: command.task, claims: command.claims })
    const request = { ...command, session: asked.id, holder: asked.holder, request: requestOf(command) }
    const grants = grantAll(draft, request, command.claims)
    breakDeadlocksBehind(draft, request, command.claims)
    return grantedReply(draft, asked.id, grants, 0)
  }
  if (command.waitMs === 0) return unopened(draft, command, held(draft, command))
  const over = waitOverQuota(draft, command)
  if (over) return unopened(draft, command, over)
  return enqueue(draft, command, asked, rank)
}

function requestOf(command: Acquire) {
  return typeof command.session === 'string' ? command.request : (command.session.key?.key ?? null)
}

/** The answer to a request that has been made before; null if it has not. */
function repeat(draft: Draft, command: Acquire): Reply | null {
  const { state } = draft
  if (typeof command.session !== 'string') return repeatKey(draft, command.session.key)
  const session = liveSession(state, command.session)
  if (!session) return { ok: false, code: 'not_found', what: 'session' }
  draft.touches = command.session
  const did = recall(session, command.request)
  if (did === 'settled')
    return (
      repeatWait(state, session, command) ?? repeatSettled(draft, session, { ...command, session: command.session })
    )
  if (did?.did === 'acquire') return repeatAcquire(draft, { ...command, session: command.session }, did.grants)
  // A cancel that overtook its acquire.
  if (did?.did === 'cancel')
    return { ok: false, code: 'lock_held', reason: 'cancelled', held: inTheWayOf(draft, command) }
  return did ? usedOtherwise : repeatWait(state, session, command)
}

function repeatKey(draft: Draft, asked: { key: string; digest: string } | null): Reply | null {
  const known = asked && draft.state.keys.get(asked.key)
  if (!asked || !known) return null
  if (known.digest !== asked.digest) {
    return {
      ok: false,
      code: 'invalid_request',
      field: 'Idempotency-Key',
      message: 'This key has been used with another body; use a new key for a new request.',
    }
  }
  const session = liveSession(draft.state, known.session)
  const waiter = session?.waits[0]
  if (waiter) draft.touches = known.session
  if (waiter)
    return { ok: 'queued', ticket: waiter.ticket, session: known.session, position: positionOf(draft.state, waiter) }
  const grant = session?.grants.find(held => held.lock === known.lock)
  if (!grant) return lost(draft.state, known.session)
  draft.touches = known.session
  return grantedReply(draft, known.session, [grant], 0)
}

/** Refusals that no waiting would change. */
function refusal(state: State, command: Acquire, rank: number): Refusal | null {
  const names = new Set(command.claims.map(claim => claim.lock))
  if (names.size < command.claims.length) {
    return { ok: false, code: 'invalid_request', field: 'locks', message: 'Each lock can be named once in a set.' }
  }
  for (const claim of command.claims) {
    const freeze = state.freezes.size > 0 ? freezeOf(state, claim.lock) : null
    if (freeze) return { ok: false, code: 'frozen', untilAt: freeze.untilAt, by: freeze.by, reason: freeze.reason }
    const lock = state.locks.get(claim.lock)
    const misfit = misfitOf(lock, claim)
    if (misfit) return misfit
    if (command.waitMs !== 0 && lock && lock.queue.length >= (lock.config?.queueMax ?? QUEUE_WAITERS_MAX)) {
      // Only a request that would have to wait is turned away.
      if (!canGrantAtOnce(state, command.claims, rank))
        return { ok: false, code: 'queue_full', limit: lock.config?.queueMax ?? QUEUE_WAITERS_MAX }
    }
  }
  return null
}

function overLimit(state: State, command: Acquire): Refusal | null {
  const quota = (limit: string, max: number): Refusal => ({ ok: false, code: 'quota_exceeded', limit, max })
  if (typeof command.session !== 'string') {
    if (state.sessionCount >= SESSIONS_MAX) return quota('sessions', SESSIONS_MAX)
    return command.session.key && state.keys.size >= IDEMPOTENCY_KEYS_MAX
      ? quota('idempotency_keys', IDEMPOTENCY_KEYS_MAX)
      : null
  }
  const session = state.sessions.get(command.session)
  if (!session) return null
  return (
    sessionLimit(session, command.claims) ?? refuseFull(session, command.request) ?? setLimit(state, command, session)
  )
}

/** What cannot be granted in one step is not waited for either. */
function setLimit(state: State, command: Acquire, { record }: SessionState): Refusal | null {
  if (command.claims.length === 1) return null
  const holder = record?.labels?.holder ?? ''
  return beyondBatch(state, { ...command, session: record?.id ?? '', holder })
}

/** Why the session cannot hold or wait for these locks too; null if it can. What it waits for it may hold one day. */
export function sessionLimit(
  session: SessionState,
  claims: readonly { lock: string; permits: number }[],
): Refusal | null {
  const locks = session.grants.length + session.claims + claims.length
  if (locks > SESSION_LOCKS_MAX)
    return { ok: false, code: 'quota_exceeded', limit: 'session_locks', max: SESSION_LOCKS_MAX }
  let units = session.endingUnits
  for (const claim of claims) units += endingUnits(claim)
  if (canEndAtOnce(session, { locks, units })) return null
  return { ok: false, code: 'quota_exceeded', limit: 'session_ending_bytes', max: SESSION_ENDING_BYTES_MAX }
}

const setEntered: Refusal = {
  ok: false,
  code: 'invalid_request',
  field: 'reentrant',
  message: 'A set is not entered once more: ask for each lock that the session may hold already by itself.',
}

/** Counted reentrancy, where asked for: the session's own grant, if it is at least as strong as what is asked. */
function reenter(draft: Draft, command: Acquire): Reply | null {
  const [claim] = command.claims
  if (command.claims.length > 1) return setEntered
  if (!claim || typeof command.session !== 'string') return null
  const lock = draft.state.locks.get(claim.lock)
  const grant = lock?.grants.find(held => held.session === command.session && covers(held, claim))
  if (!grant) return null
  if (grant.count >= REENTRY_MAX) return { ok: false, code: 'quota_exceeded', limit: 'reentry', max: REENTRY_MAX }
  const session = draft.state.sessions.get(command.session)
  const full = session ? refuseFull(session, command.request) : null
  if (full) return full
  const value = { ...grant, count: grant.count + 1 }
  draft.put({ type: 'reentered', record: 'grant', lock: grant.lock, token: grant.token, value })
  remember(draft, command.session, command.request, {
    did: 'acquire',
    grants: [{ lock: grant.lock, token: grant.token }],
  })
  return grantedReply(draft, command.session, [value], 0)
}

/** The session that asks; for `/v1`, the one that will be made. */
function sessionOf(draft: Draft, command: Acquire): Asked {
  if (typeof command.session === 'string') {
    const record = draft.state.sessions.get(command.session)?.record
    return {
      id: command.session,
      number: 0,
      holder: record?.labels?.holder ?? command.session,
      isNew: false,
      ttlMs: record?.ttlMs ?? 0,
    }
  }
  const { ttlMs, defaultTtlMs, holder } = command.session
  const config = draft.state.locks.get(command.claims[0]?.lock ?? '')?.config
  const number = draft.number()
  const id = sessionId(number)
  return { id, number, holder: holder ?? id, isNew: true, ttlMs: ttlMs ?? config?.defaultTtlMs ?? defaultTtlMs }
}

/** Session ids come from the one sequence of numbers, so that none comes twice, over restarts and restores (SAFETY O4). */
export function sessionId(number: number): string {
  return `s-${number.toString(36)}`
}

/** Puts the session that `/v1` makes for a grant, and the key that names it. */
function open(draft: Draft, command: Acquire, asked: Asked): void {
  if (!asked.isNew || typeof command.session === 'string') return
  const record: Session = {
    number: asked.number,
    id: asked.id,
    ttlMs: asked.ttlMs,
    labels: null,
    isSingle: true,
    by: draft.by,
    changes: 0,
    seenChanges: 0,
  }
  if (draft.from !== undefined) record.from = draft.from
  if (command.session.credential !== undefined) record.credential = command.session.credential
  draft.put({ type: 'session_opened', record: 'session', session: asked.id, value: record })
  const { key } = command.session
  if (!key) return
  const value = { ...key, session: asked.id, lock: command.claims[0]?.lock ?? '', sinceMs: draft.now }
  draft.put({ type: 'remembered', record: 'key', key: key.key, value })
}

/** A session that was to be made for it has not been. */
function unopened(draft: Draft, command: Acquire, refused: Reply): Reply {
  if (typeof command.session !== 'string') draft.touches = null
  return refused
}

function held(draft: Draft, command: Acquire): Reply {
  return {
    ok: false,
    code: 'lock_held',
    reason: reasonNotFree(draft.state, command.claims),
    held: inTheWayOf(draft, command),
  }
}

function inTheWayOf({ state, now }: Draft, { claims, session }: Acquire): Held {
  return heldView(state, claims, { now, session: typeof session === 'string' ? session : null })
}

/** Who waits for permits waits under the limit of now, though he named none: who holds it, and says so, may have gone before it is his turn. */
function withLimit({ locks }: State, claim: Claim): Claim {
  return claim.mode === 'permits' && claim.limit === 0
    ? { ...claim, limit: limitOf(locks.get(claim.lock), claim) }
    : claim
}

function enqueue(draft: Draft, command: Acquire, asked: Asked, rank: number): Reply {
  open(draft, command, asked)
  const waiter: Waiter = {
    ticket: draft.number(),
    session: asked.id,
    holder: asked.holder,
    task: command.task,
    claims: command.claims.map(claim => withLimit(draft.state, claim)),
    priority: command.priority,
    preempt: command.preempt,
    rank,
    at: draft.at,
    sinceMs: draft.now,
    waitMs: command.waitMs,
    request: requestOf(command),
    labels: command.labels,
    metadata: command.metadata,
    value: command.value,
  }
  const locks = command.claims.map(claim => claim.lock)
  const why: Why = noteWhose({ by: draft.by }, draft.state, asked.id, draft.from)
  why.queue = queuesWith(draft.state, waiter, 1)
  draft.put({ type: 'queued', record: 'wait', ticket: waiter.ticket, locks, value: waiter, why })
  noteOrder(draft, { session: asked.id, task: command.task, claims: command.claims })
  const cycle = breakDeadlocks(draft, waiter)
  if (cycle) return { ok: false, code: 'deadlock', cycle }
  for (const lock of locks) pump(draft, lock)
  // A preemption may have made room at once.
  const gone = draft.entries.find(
    entry => entry.record === 'wait' && entry.ticket === waiter.ticket && entry.value === null,
  )
  if (gone?.record === 'wait' && gone.gone?.grants) return grantedReply(draft, asked.id, gone.gone.grants, 0)
  return { ok: 'queued', ticket: waiter.ticket, session: asked.id, position: positionOf(draft.state, waiter) }
}
