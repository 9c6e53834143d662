/**
 * How grants begin, end, and pass on: the one place that makes each of these entries.
 *
 * When a grant ends otherwise than by its holder, the lock may stay occupied by a *delay*, which holds what the grant held:
 * until the lock-delay is over (an unclean end), and until the last promise made to the holder is (SAFETY P14), unless its client
 * has said that it knows. So "who may come next" has one answer: whoever is compatible with the grants and the delays.
 */

import { noteHold } from './apply.ts'
import { breakDeadlocksBehind, CYCLE_BYTES_MAX } from './deadlock.ts'
import type { Draft } from './draft.ts'
import { memoryOf, remember } from './memory.ts'
import {
  type Claim,
  type Delay,
  type Gone,
  type Grant,
  type GrantEntry,
  type Happening,
  type Labels,
  type Memory,
  type Metadata,
  type Refusal,
  type Remembered,
  type RequestId,
  type Waiter,
  type Why,
  writtenIn,
} from './model.ts'
import { giveNotices } from './preemption.ts'
import { beyondLimit, canGrantWaiter, freeSlots, limitOf, queuesWith } from './queue.ts'
import { turnOverQuota } from './quota.ts'
import { liveSession, type State } from './state.ts'
import { beyondBatch, weightOfGrants } from './weight.ts'
import { noteWhose } from './whose.ts'

export type Request = {
  session: string
  holder: string
  task: string
  priority: number
  request: RequestId | null
  labels: Labels | null
  metadata: Metadata | null
  value: string | null
  /** Address of whoever asks now; who has waited came from where its session did. */
  from?: string
}

/** Grants all the claims in one step. The caller has seen that each can be. */
export function grantAll(draft: Draft, request: Request, claims: readonly Claim[]): Grant[] {
  const grants: Grant[] = []
  for (const claim of claims) {
    const lock = draft.state.locks.get(claim.lock)
    const config = lock?.config
    const grant: Grant = {
      lock: claim.lock,
      token: draft.number(claim.permits),
      mode: claim.mode,
      permits: claim.permits,
      slots: claim.mode === 'permits' ? freeSlots(lock, claim.permits) : null,
      limit: claim.mode === 'permits' ? limitOf(lock, claim) : 0,
      session: request.session,
      holder: request.holder,
      task: request.task,
      priority: request.priority,
      at: draft.at,
      sinceMs: draft.now,
      maxHoldMs: shorter(claim.maxHoldMs, config?.maxHoldMs),
      lockDelayMs: claim.lockDelayMs ?? config?.lockDelayMs ?? 0,
      request: request.request,
      count: 1,
      labels: request.labels,
      metadata: request.metadata,
      notice: null,
      [writtenIn]: 0,
    }
    const { lock: name, token } = grant
    const entry: GrantEntry = {
      type: 'granted',
      record: 'grant',
      lock: name,
      token,
      value: grant,
      why: noteWhose({ by: draft.by }, draft.state, request.session, request.from),
    }
    const did: Remembered = { did: 'acquire', grants: [{ lock: name, token }] }
    const memory = claims.length === 1 ? memoryOf(draft.state, request.session, request.request, did) : null
    if (memory) entry.remembers = memory
    draft.put(entry)
    if (request.value !== null) putValue(draft, grant, request.value)
    grants.push(grant)
  }
  if (claims.length > 1) {
    const did: Remembered = { did: 'acquire', grants: grants.map(({ lock, token }) => ({ lock, token })) }
    remember(draft, request.session, request.request, did)
  }
  return grants
}

/** 0 means no limit. */
function shorter(asked: number | null, configured: number | null | undefined): number {
  if (!asked) return configured ?? 0
  return configured ? Math.min(asked, configured) : asked
}

export function putValue(draft: Draft, grant: Grant, text: string): void {
  const value = { lock: grant.lock, value: text, token: grant.token, at: draft.at, version: draft.number() }
  draft.put({
    type: 'value_changed',
    record: 'value',
    lock: grant.lock,
    value,
    why: noteWhose({ by: draft.by, holder: grant.holder }, draft.state, grant.session, draft.from),
  })
}

export type Ended = {
  type: Extract<
    Happening,
    'released' | 'expired' | 'preempted' | 'forced' | 'max_hold' | 'session_closed' | 'transferred'
  >
  reason?: string
  /** Who caused it, when that is not who asks now. */
  by?: string
  /** Neither asked for nor agreed to by the holder: the lock-delay applies. */
  isUnclean?: boolean
  /** On the shard's clock: until when the holder may go on believing, as it does not know. */
  promiseUntilMs?: number
  /** The change that told of it, if that was before. */
  change?: number
  /** The request that asked for it. */
  remembers?: Memory | null
}

/** Ends one grant. Those who wait are served by a `pump` of the lock, which is the caller's to make. */
export function endGrant(draft: Draft, grant: Grant, ended: Ended): void {
  const lock = draft.state.locks.get(grant.lock)
  if (lock) noteHold(lock, draft.now - grant.sinceMs)
  const isOwnDoing = ended.type === 'released' || ended.type === 'session_closed' || ended.type === 'expired'
  const change = isOwnDoing || ended.type === 'transferred' ? 0 : draft.change(grant.session)
  // Who released it himself needs no telling.
  const isClean = ended.type === 'released' || ended.type === 'session_closed'
  const why: Why = isClean ? { holder: grant.holder } : { holder: grant.holder, session: grant.session }
  if (!isOwnDoing) why.by = ended.by ?? draft.by
  if (isClean && !ended.remembers) why.session = grant.session
  noteWhose(why, draft.state, grant.session, draft.from)
  if (ended.reason !== undefined) why.reason = ended.reason
  if (change > 0) why.change = change
  const heldMs = draft.now - grant.sinceMs
  const { lock: name, token } = grant
  const entry: GrantEntry = { type: ended.type, record: 'grant', lock: name, token, value: null, why, heldMs }
  if (ended.remembers) entry.remembers = ended.remembers
  draft.put(entry)
  if (ended.type === 'released' || ended.type === 'session_closed' || ended.type === 'transferred') return
  const delay: Delay = {
    lock: grant.lock,
    token: grant.token,
    mode: grant.mode,
    permits: grant.permits,
    slots: grant.slots,
    limit: grant.limit,
    session: grant.session,
    reason: ended.type,
    delayUntilMs: ended.isUnclean ? draft.now + grant.lockDelayMs : 0,
    promiseUntilMs: ended.promiseUntilMs ?? 0,
    change: ended.change ?? change,
  }
  if (delayEndMs(draft.state, delay) <= draft.now) return
  draft.put({
    type: 'delayed',
    record: 'delay',
    lock: grant.lock,
    token: grant.token,
    value: delay,
    why: { reason: ended.type },
  })
}

/** When the delay is over: a promise no longer counts once the session has ended or has said that it knows. */
export function delayEndMs(state: State, delay: Delay): number {
  const session = liveSession(state, delay.session)
  const isPromised = session !== null && session.record.seenChanges < delay.change
  return Math.max(delay.delayUntilMs, isPromised ? delay.promiseUntilMs : 0)
}

/** Frees the delay if it is over. Returns whether it was. */
export function endDelay(draft: Draft, delay: Delay, options: { now: boolean } = { now: false }): boolean {
  if (!options.now && delayEndMs(draft.state, delay) > draft.now) return false
  draft.put({
    type: 'freed',
    record: 'delay',
    lock: delay.lock,
    token: delay.token,
    value: null,
    why: { reason: delay.reason },
  })
  return true
}

/** Removes a waiter from all its queues. */
function dequeue(draft: Draft, waiter: Waiter, why: Why): Gone {
  const locks = waiter.claims.map(claim => claim.lock)
  const gone: Gone = { waiter, grants: null }
  why.queue = queuesWith(draft.state, waiter, -1)
  draft.put({ type: 'dequeued', record: 'wait', ticket: waiter.ticket, locks, value: null, why, gone })
  return gone
}

/** Ends a wait without a grant; a session that was made for it, and the key that names it, go with it. */
export function giveUp(draft: Draft, waiter: Waiter, why: Why, refusal?: Refusal): void {
  const whole = { holder: waiter.holder, session: waiter.session, ...why }
  const gone = dequeue(draft, waiter, noteWhose(whole, draft.state, waiter.session, undefined))
  if (refusal) gone.refusal = refusal
  const session = liveSession(draft.state, waiter.session)
  if (!session?.record.isSingle) return
  // Refusals are not remembered.
  if (typeof waiter.request === 'string')
    draft.put({ type: 'forgotten', record: 'key', key: waiter.request, value: null })
  draft.put({ type: 'session_ended', record: 'session', session: waiter.session, value: null })
}

/** Grants that one decision makes, or refuses those who waited, before it leaves the rest to the next; fewer, if they carry much. */
const GRANTS_PER_DECISION = 64

/** Grants the lock to whoever is next, as long as there is somebody it can be granted to. */
export function pump(draft: Draft, name: string): void {
  const names = [name]
  const refuse = (head: Waiter, refusal: Refusal, lock: string) => {
    draft.granted += head.claims.length
    giveUp(draft, head, { reason: refusal.code }, refusal)
    for (const claim of head.claims) if (claim.lock !== lock) names.push(claim.lock)
  }
  for (let next = names.pop(); next !== undefined; next = names.pop()) {
    const lock = draft.state.locks.get(next)
    for (let head = lock?.queue[0]; head; head = lock?.queue[0]) {
      if (draft.granted >= GRANTS_PER_DECISION) {
        draft.follow({ type: 'pump', lock: next, by: 'service' })
        break
      }
      const beyond = beyondLimit(draft.state, head)
      if (beyond) {
        refuse(head, beyond, next)
        continue
      }
      if (isFrozen(draft.state, head)) break
      if (!canGrantWaiter(draft.state, head)) {
        giveNotices(draft, head)
        // An immediate preemption may have made room at once.
        if (!canGrantWaiter(draft.state, head)) break
      }
      const over = turnOverQuota(draft, head) ?? beyondBatch(draft.state, head)
      if (over) {
        refuse(head, over, next)
        continue
      }
      // Behind it deadlocks are searched for.
      if (!draft.fits(weightOfGrants(draft.state, head) + CYCLE_BYTES_MAX)) {
        draft.follow({ type: 'pump', lock: next, by: 'service' })
        break
      }
      const gone = dequeue(draft, head, { reason: 'granted' })
      gone.grants = grantAll(draft, head, head.claims)
      draft.granted += head.claims.length
      // Behind a set that has been granted, others may now be first.
      for (const claim of head.claims) if (claim.lock !== next) names.push(claim.lock)
      breakDeadlocksBehind(draft, head, head.claims)
    }
  }
}

function isFrozen(state: State, waiter: Waiter): boolean {
  return state.freezes.size > 0 && waiter.claims.some(claim => freezeOf(state, claim.lock) !== null)
}

/** The freeze in force for the lock that lasts longest. */
export function freezeOf(state: State, name: string) {
  let found = null
  for (const freeze of state.freezes.values()) {
    if (name.startsWith(freeze.prefix) && (!found || freeze.untilAt > found.untilAt)) found = freeze
  }
  return found
}

/** Locks that are pumped within the decision that frees them; more than that follow in turns of their own. */
const PUMPS_INLINE = 32

export function pumpAll(draft: Draft, names: Iterable<string>): void {
  const waited = [...new Set(names)].filter(name => draft.state.locks.get(name)?.queue.length)
  for (const lock of waited) {
    if (waited.length <= PUMPS_INLINE) pump(draft, lock)
    else draft.follow({ type: 'pump', lock, by: 'service' })
  }
}
