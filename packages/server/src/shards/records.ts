/**
 * Grants and sessions in the log, without what goes without saying. They are nearly all of it, most of their fields are at their usual
 * values, and their keys stand in the entry anyway; leaving that out makes batches half as long, and reading them twice as fast. What is
 * read back is the record in full, always of one shape, with its texts shared: a million of them must fit into memory.
 */
import type { Entry, Grant, Session } from '../locks/model.ts'
import { type Stamped, writtenIn } from '../locks/state.ts'

type GrantEntry = Extract<Entry, { record: 'grant' }>
type SessionEntry = Extract<Entry, { record: 'session' }>
type LeanGrant = Pick<Grant, 'session' | 'holder' | 'at' | 'sinceMs'> & Partial<Grant>
type LeanSession = Pick<Session, 'number' | 'ttlMs' | 'by'> & Partial<Session>

/** An entry as it is logged. Both ways, nothing may be lost: the core decides on what comes back. */
export function encodeEntry(entry: Entry): string {
  if (entry.record === 'grant' && entry.value) {
    return JSON.stringify({ ...entry, value: leanGrant(entry.value) })
  }
  if (entry.record === 'session' && entry.value) {
    return JSON.stringify({ ...entry, value: leanSession(entry.value) })
  }
  if (entry.record === 'wait' && entry.gone) {
    // Only for the one who answers.
    const { gone: _, ...logged } = entry
    return JSON.stringify(logged)
  }
  return JSON.stringify(entry)
}

/** Fills in what was left out. */
export function fillEntry(entry: Entry): void {
  if (entry.value === null) return
  if (entry.record === 'grant') entry.value = fullGrant(entry, entry.value)
  else if (entry.record === 'session') entry.value = fullSession(entry, entry.value)
}

function leanGrant(grant: Grant): LeanGrant {
  const { session, holder, at, sinceMs } = grant
  const lean: LeanGrant = { session, holder, at, sinceMs }
  if (grant.mode !== 'exclusive') lean.mode = grant.mode
  if (grant.permits !== 1) lean.permits = grant.permits
  if (grant.slots !== null) lean.slots = grant.slots
  if (grant.limit !== 0) lean.limit = grant.limit
  if (grant.task !== '') lean.task = grant.task
  if (grant.priority !== 0) lean.priority = grant.priority
  if (grant.maxHoldMs !== 0) lean.maxHoldMs = grant.maxHoldMs
  if (grant.lockDelayMs !== 0) lean.lockDelayMs = grant.lockDelayMs
  if (grant.request !== null) lean.request = grant.request
  if (grant.count !== 1) lean.count = grant.count
  if (grant.labels !== null) lean.labels = grant.labels
  if (grant.metadata !== null) lean.metadata = grant.metadata
  if (grant.notice !== null) lean.notice = grant.notice
  return lean
}

function fullGrant(entry: GrantEntry, lean: LeanGrant): Grant {
  const grant: Grant & Stamped = {
    lock: entry.lock,
    token: entry.token,
    mode: shared(lean.mode ?? 'exclusive'),
    permits: lean.permits ?? 1,
    slots: lean.slots ?? null,
    limit: lean.limit ?? 0,
    session: lean.session,
    holder: lean.holder,
    task: shared(lean.task ?? ''),
    priority: lean.priority ?? 0,
    at: lean.at,
    sinceMs: lean.sinceMs,
    maxHoldMs: lean.maxHoldMs ?? 0,
    lockDelayMs: lean.lockDelayMs ?? 0,
    request: lean.request ?? null,
    count: lean.count ?? 1,
    labels: lean.labels ?? null,
    metadata: lean.metadata ?? null,
    notice: lean.notice ?? null,
    // Room for the stamp from the start: adding it later costs a second block of memory.
    [writtenIn]: 0,
  }
  return grant
}

function leanSession(session: Session): LeanSession {
  const { number, ttlMs, by } = session
  const lean: LeanSession = { number, ttlMs, by }
  if (session.labels !== null) lean.labels = session.labels
  if (session.isSingle) lean.isSingle = true
  if (session.changes !== 0) lean.changes = session.changes
  if (session.seenChanges !== 0) lean.seenChanges = session.seenChanges
  return lean
}

function fullSession(entry: SessionEntry, lean: LeanSession): Session {
  const session: Session & Stamped = {
    number: lean.number,
    id: entry.session,
    ttlMs: lean.ttlMs,
    labels: lean.labels ?? null,
    isSingle: lean.isSingle ?? false,
    by: shared(lean.by),
    changes: lean.changes ?? 0,
    seenChanges: lean.seenChanges ?? 0,
    [writtenIn]: 0,
  }
  return session
}

/** Few different texts, each of them a million times. */
const texts = new Map<string, string>()
const TEXTS_MAX = 4_096

function shared<Text extends string>(text: Text): Text {
  const known = texts.get(text)
  // Equal texts, so of the same type.
  if (known !== undefined) return known as Text
  if (texts.size < TEXTS_MAX) texts.set(text, text)
  return text
}
