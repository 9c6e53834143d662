/**
 * One record of the trail: somebody did something to something, and this came of it. Lock changes come from the entries of the log, everything
 * else from the deeds of the registry's trail; whoever reads them need not know which.
 */

import type { EventType } from '@holdfast/protocol/events'
import { eventsOf } from '../locks/events.ts'
import { saidRequest } from '../locks/idempotency.ts'
import type { Entry, Happening, Why } from '../locks/model.ts'
import type { Trail } from '../registry/port.ts'
import type { Batch, EntryGroup } from '../shards/batch.ts'
import { type Changed, changedBy, changedByEntry } from './changed.ts'

export type Outcome = 'success' | 'denied' | 'failure'

export type AuditRecord = {
  /** Unique, for ever the same: those who get a record twice know it by this. Of an event that watchers read, the event's. */
  id: string
  at: string
  action: string
  outcome: Outcome
  /** Whose credential did it; `service`: time did. */
  subject: string
  /** Whose session it befell, when that is somebody else's. */
  affected?: string
  session?: string
  holder?: string
  /** Address. */
  from?: string
  /** `lock/…`, `prefix/…`, `session/…`, `credential/…`. */
  target: string
  instance?: string
  /** What watchers were told. */
  event?: EventType
  mode?: 'exclusive' | 'shared' | 'permits'
  token?: number
  /** Of a wait: by it what became of it is found. */
  ticket?: number
  reason?: string
  /** HTTP status that it was answered with, as far as it is known. */
  status?: number
  requestId?: string
  /** What was written by it, as far as it is told. */
  changed?: Changed[]
  /** Hash of the batch or link that says so: it is part of the chain. */
  link: string
}

/** A record and its place: `n` counts from 1 within the batch or link. */
export type Placed = {
  seq: number
  n: number
  atMs: number
  record: AuditRecord
  /** Number of the event within the batch, as in its id; 0: watchers were told nothing. */
  event: number
  /** Who caused it, as the event says. */
  by?: string
}

const actions: Partial<Record<Happening, string>> = {
  granted: 'lock.acquire',
  queued: 'lock.queue',
  dequeued: 'lock.dequeue',
  released: 'lock.release',
  session_closed: 'lock.release',
  expired: 'lock.expire',
  max_hold: 'lock.expire',
  preempting: 'lock.preempt',
  preempted: 'lock.preempt',
  forced: 'lock.force-release',
  transferred: 'lock.transfer',
  delayed: 'lock.delay',
  freed: 'lock.free',
  frozen: 'lock.freeze',
  thawed: 'lock.thaw',
  value_changed: 'lock.write-value',
  configured: 'lock.configure',
  deleted: 'lock.delete',
  session_opened: 'session.open',
  session_ended: 'session.close',
}

/** Actions that lock changes are recorded as; those of the trail are whatever was asked. */
export const lockActions: readonly string[] = [...new Set(Object.values(actions))]

/**
 * What the batch tells, in its order; entries that were carried tell nothing.
 * @param cluster as event ids begin with
 */
export function recordsOfBatch(batch: Batch, options: { cluster: string; link: string }): Placed[] {
  const placed: Placed[] = []
  const stem = `${options.cluster}-${batch.seq}`
  const at = new Date(batch.at).toISOString()
  let events = 0
  for (const group of batch.entries) {
    const [instance, ...entries] = group
    for (const [index, entry] of entries.entries()) {
      const action = actions[entry.type]
      const whole = action === undefined ? [] : recordsOfEntry(entry, behind(group, index))
      for (const part of whole) {
        const id = part.event === undefined ? `${stem}-s${placed.length + 1}` : `${stem}-${events + 1}`
        const event = part.event === undefined ? 0 : ++events
        const record = { id, at, action: action!, ...part, instance, link: options.link }
        const by = entry.why?.by
        const place = { seq: batch.seq, n: placed.length + 1, atMs: batch.at, event }
        placed.push({ ...place, record, ...(by !== undefined && { by }) })
      }
    }
  }
  return placed
}

/** The entries that follow in the same group. */
function behind([, ...entries]: EntryGroup, index: number): readonly Entry[] {
  return entries.slice(index + 1, index + 1 + LOOKAHEAD)
}

/** Whoever leaves a line because of a grant gets it right behind. */
const LOOKAHEAD = 4

type Part = Omit<AuditRecord, 'id' | 'at' | 'action' | 'instance' | 'link'>

function recordsOfEntry(entry: Entry, next: readonly Entry[]): Part[] {
  if (entry.record === 'session') return sessionParts(entry)
  return eventsOf(entry).map(event => {
    const isPrefix = entry.record === 'freeze'
    const part: Part = {
      outcome: 'success',
      ...whoOf(entry, next),
      target: `${isPrefix ? 'prefix' : 'lock'}/${event.lock}`,
      event: event.type,
    }
    const holder = event.holder ?? grantBehind(entry, next)?.holder
    if (holder !== undefined) part.holder = holder
    if (event.token !== undefined) part.token = event.token
    if (entry.record === 'wait') part.ticket = entry.ticket
    if (entry.record === 'grant' && entry.value) part.mode = entry.value.mode
    if (event.reason !== undefined) part.reason = event.reason
    const requestId = entry.why?.trace ?? requestOf(entry)
    if (requestId !== undefined) part.requestId = requestId
    const changed = changedByEntry(entry)
    if (changed.length > 0) part.changed = changed
    return part
  })
}

/** A session that was made for one grant tells nothing that its grant does not. */
function sessionParts(entry: Extract<Entry, { record: 'session' }>): Part[] {
  const { value, why, session } = entry
  if (value?.isSingle || (value === null && why === undefined)) return []
  const part: Part = {
    outcome: 'success',
    subject: value?.by ?? why?.who ?? why?.by ?? 'service',
    target: `session/${session}`,
    session,
  }
  const from = why?.from ?? value?.from
  if (from !== undefined) part.from = from
  if (why?.reason !== undefined) part.reason = why.reason
  if (why?.trace !== undefined) part.requestId = why.trace
  return [part]
}

/** What nobody asked for, time did: but it is the holder's affair, as whose it counts. */
function whoOf(entry: Entry, next: readonly Entry[]): Pick<Part, 'subject' | 'affected' | 'session' | 'from'> {
  const why: Why = entry.why ?? {}
  const grant = grantBehind(entry, next)
  const own = why.who ?? grant?.who
  const who: Pick<Part, 'subject' | 'affected' | 'session' | 'from'> = { subject: why.by ?? own ?? 'service' }
  // Who was let in by another's release has acquired it nevertheless.
  if (entry.type === 'granted' && own !== undefined) who.subject = own
  else if (own !== undefined && own !== who.subject) who.affected = own
  const session = sessionOf(entry) ?? grant?.session
  if (session !== undefined) who.session = session
  const from = why.from ?? grant?.from
  if (from !== undefined) who.from = from
  return who
}

type Behind = { holder: string; session: string; who: string | undefined; from: string | undefined }

/** Of who leaves the line because it is granted: the grant. */
function grantBehind(entry: Entry, next: readonly Entry[]): Behind | null {
  if (entry.record !== 'wait' || entry.value !== null || entry.why?.reason !== 'granted') return null
  for (const other of next) {
    if (other.record !== 'grant' || other.type !== 'granted' || !other.value) continue
    if (!entry.locks.includes(other.lock)) continue
    const { holder, session } = other.value
    return { holder, session, who: other.why?.who ?? other.why?.by, from: other.why?.from }
  }
  return null
}

function sessionOf(entry: Entry): string | undefined {
  if (entry.record === 'grant') return entry.value?.session ?? entry.remembers?.session ?? entry.why?.session
  if (entry.record === 'wait') return entry.value?.session ?? entry.why?.session
  if (entry.record === 'delay') return entry.value?.session
  return undefined
}

function requestOf(entry: Entry): string | undefined {
  const request =
    entry.record === 'grant'
      ? (entry.remembers?.request ?? entry.value?.request)
      : entry.record === 'wait'
        ? entry.value?.request
        : null
  return request === null || request === undefined ? undefined : String(saidRequest(request))
}

/** Of a link's hash: after a restore another link has the number of one that was forgotten, and whoever has got both must not take them for one. */
const LINK_BYTES = 4

/**
 * What a link of the administrative trail tells.
 * @param link its hash, base64url
 */
export function recordsOfLink(trail: Trail, link: string): Placed[] {
  const at = new Date(trail.at).toISOString()
  const stem = `t-${trail.seq}-${Buffer.from(link, 'base64url').toString('hex', 0, LINK_BYTES)}`
  return trail.deeds.map((deed, index) => {
    const record: AuditRecord = {
      id: `${stem}-${index + 1}`,
      at,
      action: deed.action,
      outcome: deed.outcome,
      subject: deed.by,
      target: deed.target,
      link,
    }
    if (deed.from !== '') record.from = deed.from
    if (deed.instance !== null) record.instance = deed.instance
    if (deed.reason !== '') record.reason = deed.reason
    if (deed.status !== 0) record.status = deed.status
    if (deed.trace !== '') record.requestId = deed.trace
    const changed = changedBy(deed, trail)
    if (changed.length > 0) record.changed = changed
    return { seq: trail.seq, n: index + 1, atMs: trail.at, event: 0, record }
  })
}
