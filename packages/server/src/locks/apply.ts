/**
 * The only code that changes a state. It never refuses: what is in the log has happened. Each entry sets or removes one
 * record; the fold must come out the same in whatever order records of different keys were written, so nothing here
 * asks for another record to be there already.
 */

import { endingUnits } from './ending-bytes.ts'
import { type Lock, own } from './lock.ts'
import type {
  Config,
  Delay,
  Entry,
  Freeze,
  IdempotencyKey,
  Memory,
  Remembered,
  RequestId,
  Session,
  Value,
  Waiter,
} from './model.ts'
import { type Stamped, writtenIn } from './model.ts'
import { beforeInQueue } from './queue.ts'
import { type Ending, NUMBERS_PER_EPOCH, placeOf, SessionState, type State } from './state.ts'
import { storedByConfig, storedByGrant, storedBySession, storedByValue, storedByWaiter } from './stored.ts'

/** Remembered endings of single sessions, a generation. */
const ENDED_SINGLES_MAX = 16_384
/** Weight of the newest hold in the moving average. */
const HOLD_WEIGHT = 0.2

export function apply(state: State, entry: Entry): void {
  if (entry.value !== null && typeof entry.value === 'object') stamp(state, entry.value)
  switch (entry.record) {
    case 'grant':
      applyGrant(state, entry)
      if (entry.remembers) applyMemory(state, entry.remembers)
      return
    case 'wait':
      return applyWait(state, entry.ticket, entry.locks, entry.value)
    case 'session':
      return applySession(state, entry.session, entry.value)
    case 'delay':
      return applyDelay(state, entry.lock, entry.token, entry.value)
    case 'config':
      return applyConfig(state, entry.lock, entry.value)
    case 'value':
      return applyValue(state, entry.lock, entry.value)
    case 'freeze':
      return applyFreeze(state, entry.prefix, entry.value)
    case 'request':
      return applyRequest(state, entry.session, entry.request, entry.value)
    case 'settled':
      return applySettled(state, entry.session, entry.value)
    case 'key':
      return applyKey(state, entry.key, entry.value)
  }
}

/** The record is now what the batch being built has written. */
function stamp(state: State, record: object): void {
  // Any record can carry the stamp beside its fields.
  ;(record as Stamped)[writtenIn] = state.seq
  state.live.add(state.seq)
}

/** The record is no longer current. */
function unstamp(state: State, record: object | null | undefined): void {
  if (record) state.live.remove((record as Stamped)[writtenIn] ?? 0)
}

function applyGrant(state: State, entry: Extract<Entry, { record: 'grant' }>): void {
  const { token, value: grant } = entry
  const old = state.locks.get(entry.lock)
  const place = old ? placeOf(old.grants, token) : -1
  const before = place >= 0 ? old!.grants[place]! : null
  unstamp(state, before)
  if (before) state.storedBytes -= storedByGrant(before)
  if (grant) {
    state.storedBytes += storedByGrant(grant)
    const lock = old ?? lockFor(state, entry.lock)
    lock.grants = withToken(lock.grants, grant)
    const session = sessionFor(state, grant.session)
    session.grants = withToken(session.grants, grant)
    if (!before) {
      state.grantCount++
      session.endingUnits += endingUnits(grant)
    }
    used(state, token + grant.permits - 1)
    return
  }
  used(state, token)
  // Every type with which a grant's record is removed is an ending.
  const ending = entry.type as Ending
  state.ended.add(token, ending)
  if (!before || !old) return
  old.grants.splice(place, 1)
  state.grantCount--
  const session = state.sessions.get(before.session)
  if (session) {
    if (session.record?.isSingle) rememberSingle(state, before.session, ending)
    removeByToken(session.grants, token)
    session.endingUnits -= endingUnits(before)
    dropSession(state, before.session, session)
  }
  dropLock(state, old)
}

function rememberSingle(state: State, session: string, ending: Ending): void {
  const { endedSingles } = state
  endedSingles.young.set(session, ending)
  if (endedSingles.young.size < ENDED_SINGLES_MAX) return
  endedSingles.old = endedSingles.young
  endedSingles.young = new Map()
}

/** Called by those who end a grant, for the estimates. */
export function noteHold(lock: Lock, heldMs: number): void {
  lock.typicalHoldMs =
    lock.typicalHoldMs === null ? heldMs : lock.typicalHoldMs + HOLD_WEIGHT * (heldMs - lock.typicalHoldMs)
}

function applyWait(state: State, ticket: number, locks: string[], waiter: Waiter | null): void {
  used(state, ticket)
  const before = state.tickets.get(ticket)
  if (before) {
    unstamp(state, before)
    state.storedBytes -= storedByWaiter(before)
    for (const claim of before.claims) leaveQueue(state, claim.lock, before)
    const session = state.sessions.get(before.session)
    if (session) {
      session.waits = session.waits.filter(wait => wait !== before)
      session.claims -= before.claims.length
      for (const claim of before.claims) session.endingUnits -= endingUnits(claim)
      if (!waiter) dropSession(state, before.session, session)
    }
    state.tickets.delete(ticket)
  }
  if (!waiter) return
  state.storedBytes += storedByWaiter(waiter)
  state.tickets.set(ticket, waiter)
  for (const name of locks) {
    const lock = lockFor(state, name)
    lock.queue = own(lock.queue)
    lock.queue.splice(placeInQueue(lock.queue, waiter), 0, waiter)
  }
  const session = sessionFor(state, waiter.session)
  session.waits = own(session.waits)
  session.waits.push(waiter)
  session.claims += waiter.claims.length
  for (const claim of waiter.claims) session.endingUnits += endingUnits(claim)
}

/** Where in the sorted queue the waiter stands, or would stand. */
export function placeInQueue(queue: readonly Waiter[], waiter: { rank: number; ticket: number }): number {
  let low = 0
  let high = queue.length
  while (low < high) {
    const middle = (low + high) >>> 1
    if (beforeInQueue(queue[middle]!, waiter)) low = middle + 1
    else high = middle
  }
  return low
}

function leaveQueue(state: State, name: string, waiter: Waiter): void {
  const lock = state.locks.get(name)
  if (!lock) return
  const place = placeInQueue(lock.queue, waiter)
  if (lock.queue[place] === waiter) lock.queue.splice(place, 1)
  dropLock(state, lock)
}

function applySession(state: State, id: string, record: Session | null): void {
  const before = state.sessions.get(id)
  unstamp(state, before?.record)
  countSession(state, before?.record ?? null, -1)
  countSession(state, record, 1)
  if (record) {
    used(state, record.number)
    const session = before ?? sessionFor(state, id)
    session.record = record
    return
  }
  if (!before) return
  before.record = null
  // Its request ids go with it: nobody can ask under them again.
  for (const did of before.requests?.values() ?? []) unstamp(state, did)
  before.requests = null
  if (before.settled > 0) state.live.remove(before.settledIn)
  before.settled = 0
  dropSession(state, id, before)
}

function countSession(state: State, record: Session | null, by: 1 | -1): void {
  if (!record) return
  state.sessionCount += by
  if (record.isSingle) state.singleCount += by
  state.storedBytes += by * storedBySession(record)
}

function applyDelay(state: State, name: string, token: number, delay: Delay | null): void {
  const lock = lockFor(state, name)
  const place = placeOf(lock.delays, token)
  const before = place >= 0 ? lock.delays[place]! : null
  unstamp(state, before)
  lock.delays = own(lock.delays)
  if (delay) putByToken(lock.delays, delay)
  else if (before) lock.delays.splice(place, 1)
  if (before) {
    const session = state.sessions.get(before.session)
    if (session) {
      session.delays = session.delays.filter(item => item !== before)
      dropSession(state, before.session, session)
    }
  }
  // A delay may outlive its session; while that lives, what it acknowledges can end the delay.
  if (delay) sessionFor(state, delay.session).delays = [...sessionFor(state, delay.session).delays, delay]
  dropLock(state, lock)
}

function applyConfig(state: State, name: string, config: Config | null): void {
  const lock = lockFor(state, name)
  unstamp(state, lock.config)
  state.storedBytes += storedByConfig(config) - storedByConfig(lock.config)
  lock.config = config
  if (config) used(state, config.version)
  dropLock(state, lock)
}

function applyValue(state: State, name: string, value: Value | null): void {
  const lock = lockFor(state, name)
  unstamp(state, lock.value)
  state.storedBytes += storedByValue(value) - storedByValue(lock.value)
  lock.value = value
  if (value) used(state, value.version)
  dropLock(state, lock)
}

function applyFreeze(state: State, prefix: string, freeze: Freeze | null): void {
  unstamp(state, state.freezes.get(prefix))
  if (freeze) {
    used(state, freeze.number)
    state.freezes.set(prefix, freeze)
  } else state.freezes.delete(prefix)
}

function applyMemory(state: State, { session, request, did }: Memory): void {
  stamp(state, did)
  applyRequest(state, session, request, did)
}

function applyRequest(state: State, id: string, request: RequestId, did: Remembered | null): void {
  const session = sessionFor(state, id)
  if (typeof request === 'number' && request < session.settled) {
    unstamp(state, did)
    return
  }
  session.requests ??= new Map()
  unstamp(state, session.requests.get(request))
  if (did) session.requests.set(request, did)
  else session.requests.delete(request)
}

function applySettled(state: State, id: string, settled: number | null): void {
  const session = sessionFor(state, id)
  if (session.settled > 0) state.live.remove(session.settledIn)
  session.settled = settled ?? 0
  session.settledIn = state.seq
  if (session.settled > 0) state.live.add(state.seq)
  for (const [request, did] of session.requests ?? []) {
    if (typeof request !== 'number' || request >= session.settled) continue
    unstamp(state, did)
    session.requests?.delete(request)
  }
}

function applyKey(state: State, key: string, value: IdempotencyKey | null): void {
  unstamp(state, state.keys.get(key))
  if (value) state.keys.set(key, value)
  else state.keys.delete(key)
}

function lockFor(state: State, name: string): Lock {
  return state.locks.take(name)
}

/** Free state is forgotten: memory grows with what is in use, never with the names that were. */
function dropLock(state: State, lock: Lock): void {
  const isUsed = lock.grants.length > 0 || lock.queue.length > 0 || lock.delays.length > 0 || lock.config || lock.value
  if (!isUsed) state.locks.free(lock)
}

function sessionFor(state: State, id: string): SessionState {
  let session = state.sessions.get(id)
  if (!session) {
    session = new SessionState()
    state.sessions.set(id, session)
  }
  return session
}

function dropSession(state: State, id: string, session: SessionState): void {
  if (session.record || session.grants.length > 0 || session.waits.length > 0 || session.delays.length > 0) return
  // What is remembered may come before the session's own record, when that has been carried.
  if (session.requests === null && session.settled === 0) state.sessions.delete(id)
}

/** The list with the item in it. The usual list has one, and an array that has grown keeps room for sixteen more. */
function withToken<Item extends { token: number }>(list: Item[], item: Item): Item[] {
  if (list.length === 0) return [item]
  putByToken(list, item)
  return list
}

function putByToken<Item extends { token: number }>(list: Item[], item: Item): void {
  const place = placeOf(list, item.token)
  if (place >= 0) list[place] = item
  else list.splice(-1 - place, 0, item)
}

function removeByToken(list: { token: number }[], token: number): void {
  const place = placeOf(list, token)
  if (place >= 0) list.splice(place, 1)
}

function used(state: State, number: number): void {
  // Not an assertion that it grows: the cleaner repeats old records at the new end of the log.
  if (number > state.lastNumber) state.lastNumber = number
  if (!Number.isSafeInteger(number) || number < 0)
    throw new Error(`${number} is no number of this log (${NUMBERS_PER_EPOCH} an epoch)`)
}
