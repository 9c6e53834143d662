/**
 * What the cleaner must keep. Each record bears the number of the batch that wrote it, so what an old batch still says is found in the state
 * itself, and nothing of the log has to be read for it.
 */
import type { Entry } from './model.ts'
import { type Stamped, writtenIn } from './model.ts'
import { placeOf, type SessionState, type State } from './state.ts'

/** An entry that sets a record to what it is. */
export type Carried = Entry & { type: 'carried' }

/**
 * Every record that a batch before `before` wrote, as the entry that sets it again; the oldest first, more or less. The state may change while
 * this is being read, at every step: what has gone by then, or has been written anew, may still come, and `carry` tells. What is
 * there all the time, unchanged, comes once.
 */
export function* recordsBefore(state: State, before: number): Generator<Carried> {
  const isOld = (record: object): boolean => writtenBy(record) < before
  const type = 'carried'
  for (const lock of state.locks.values()) {
    const { name, config, value } = lock
    for (const grant of asItIs(lock.grants))
      if (isOld(grant)) yield { type, record: 'grant', lock: name, token: grant.token, value: grant }
    for (const delay of asItIs(lock.delays))
      if (isOld(delay)) yield { type, record: 'delay', lock: name, token: delay.token, value: delay }
    if (config && isOld(config)) yield { type, record: 'config', lock: name, value: config }
    if (value && isOld(value)) yield { type, record: 'value', lock: name, value }
  }
  for (const [id, session] of state.sessions) yield* recordsOf(id, session, before)
  for (const waiter of state.tickets.values()) {
    if (!isOld(waiter)) continue
    yield { type, record: 'wait', ticket: waiter.ticket, locks: waiter.claims.map(({ lock }) => lock), value: waiter }
  }
  for (const freeze of state.freezes.values())
    if (isOld(freeze)) yield { type, record: 'freeze', prefix: freeze.prefix, value: freeze }
  for (const [key, value] of state.keys) if (isOld(value)) yield { type, record: 'key', key, value }
}

/** Lists are changed in place; with one item or none nothing can be skipped by that. */
function asItIs<Item>(list: readonly Item[]): readonly Item[] {
  return list.length > 1 ? [...list] : list
}

function* recordsOf(session: string, state: SessionState, before: number): Generator<Carried> {
  const isOld = (record: object): boolean => writtenBy(record) < before
  const type = 'carried'
  if (state.record && isOld(state.record)) yield { type, record: 'session', session, value: state.record }
  if (state.settled > 0 && state.settledIn < before) yield { type, record: 'settled', session, value: state.settled }
  for (const [request, value] of state.requests ?? [])
    if (isOld(value)) yield { type, record: 'request', session, request, value }
}

/** The number of the batch. */
function writtenBy(record: object): number {
  // Any record can carry the stamp beside its fields.
  return (record as Stamped)[writtenIn] ?? 0
}

/** The record that the entry sets, as it is now; null if there is none. */
function current(state: State, entry: Entry): object | null {
  switch (entry.record) {
    case 'grant': {
      const grants = state.locks.get(entry.lock)?.grants ?? []
      return grants[placeOf(grants, entry.token)] ?? null
    }
    case 'wait':
      return state.tickets.get(entry.ticket) ?? null
    case 'session':
      return state.sessions.get(entry.session)?.record ?? null
    case 'delay': {
      const delays = state.locks.get(entry.lock)?.delays ?? []
      return delays[placeOf(delays, entry.token)] ?? null
    }
    case 'config':
      return state.locks.get(entry.lock)?.config ?? null
    case 'value':
      return state.locks.get(entry.lock)?.value ?? null
    case 'freeze':
      return state.freezes.get(entry.prefix) ?? null
    case 'request':
      return state.sessions.get(entry.session)?.requests?.get(entry.request) ?? null
    case 'settled':
      return null
    case 'key':
      return state.keys.get(entry.key) ?? null
  }
}

/** Marks the record as carried by batch `seq`; false if the entry is no longer what its record is, or not one of a batch before `before`. */
export function carry(state: State, entry: Carried, { before, seq }: { before: number; seq: number }): boolean {
  if (entry.record === 'settled') {
    const session = state.sessions.get(entry.session)
    const isCurrent = session?.record != null && session.settled === entry.value && session.settledIn < before
    if (isCurrent) restamp(state, entry, seq)
    return isCurrent
  }
  const record = current(state, entry)
  if (record === null || record !== entry.value || writtenBy(record) >= before) return false
  stamp(state, record, seq)
  return true
}

/** The record that the entry has set goes into batch `seq` after all. */
export function restamp(state: State, entry: Entry, seq: number): void {
  if (entry.record === 'settled') {
    const session = state.sessions.get(entry.session)
    if (!session || entry.value === null) return
    state.live.remove(session.settledIn)
    state.live.add(seq)
    session.settledIn = seq
    return
  }
  const record = current(state, entry)
  if (record) stamp(state, record, seq)
  if (entry.record !== 'grant' || !entry.remembers) return
  const { session, request, did } = entry.remembers
  if (state.sessions.get(session)?.requests?.get(request) === did) stamp(state, did, seq)
}

function stamp(state: State, record: object, seq: number): void {
  state.live.remove(writtenBy(record))
  state.live.add(seq)
  // Any record can carry the stamp beside its fields.
  ;(record as Stamped)[writtenIn] = seq
}

/** How many records batch `seq` has written that are still current. Zero: it can go. */
export function liveIn(state: State, seq: number): number {
  return state.live.of(seq)
}
