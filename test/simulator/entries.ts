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

/** Until what is returned is called: what it is granted, and has not heard of yet, may be entered by another of the session. */
export function asks({ asking }: Entries, { isWide }: { isWide?(): boolean }, names: readonly string[]): () => void {
  const add = (count: number) => names.forEach(name => void asking.set(name, (asking.get(name) ?? 0) + count))
  if (!isWide?.()) return () => undefined
  add(1)
  return () => add(-1)
}
