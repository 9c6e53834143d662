/** What a worker knows of how often its session has entered what it holds. */

export type Entries = {
  /** How often each grant was had, and not yet left with certainty. */
  counts: Map<number, number>
  /** Requests for each lock that have been asked and not answered. */
  asking: Map<string, number>
  /** Locks that may have been handed to it, or of which an entry was given up: how often they are held is not known. */
  unsure: Set<string>
}
const allEntries = new WeakMap<object, Entries>()

/** Of a session. */
export function entriesOf(session: object): Entries {
  const entries = allEntries.get(session) ?? { counts: new Map(), asking: new Map(), unsure: new Set() }
  allEntries.set(session, entries)
  return entries
}
