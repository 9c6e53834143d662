/** What the cleaner must keep: the entries that are still the current value of their record. */
import type { Entry } from './model.ts'
import { type Stamped, writtenIn } from './model.ts'
import { placeOf, type State } from './state.ts'

/** The record that the entry sets, as it is now; null if there is none. */
export function current(state: State, entry: Entry): object | null {
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

/** Whether the entry, written by batch `seq`, is what its record is now. A tombstone at the old end of the log never is. */
export function isCurrent(state: State, entry: Entry, seq: number): boolean {
  if (entry.value === null) return false
  if (entry.record === 'settled') {
    const session = state.sessions.get(entry.session)
    return session?.record != null && session.settled === entry.value && session.settledIn === seq
  }
  return (current(state, entry) as Stamped | null)?.[writtenIn] === seq
}

/** Marks the record as written by batch `seq`, which carries it. */
export function carried(state: State, entry: Entry, seq: number): void {
  if (entry.record === 'settled') {
    const session = state.sessions.get(entry.session)
    if (!session) return
    state.live.remove(session.settledIn)
    state.live.add(seq)
    session.settledIn = seq
    return
  }
  const record = current(state, entry) as Stamped | null
  if (!record) return
  state.live.remove(record[writtenIn] ?? 0)
  state.live.add(seq)
  record[writtenIn] = seq
}

/** How many records batch `seq` has written that are still current. Zero: it can go without being read. */
export function liveIn(state: State, seq: number): number {
  return state.live.of(seq)
}
