/** What an entry means to those who watch, and to the session it befell. */
import type { EventType } from '@holdfast/protocol/events'
import type { Entry, Happening } from './model.ts'

/** The happenings that watchers read, under the names of the wire; the others are nobody's business. */
const public_: Partial<Record<Happening, EventType>> = {
  granted: 'granted',
  queued: 'queued',
  dequeued: 'dequeued',
  released: 'released',
  session_closed: 'released',
  expired: 'expired',
  max_hold: 'expired',
  preempting: 'preempting',
  preempted: 'preempted',
  forced: 'forced',
  transferred: 'transferred',
  delayed: 'delayed',
  freed: 'freed',
  frozen: 'frozen',
  thawed: 'freed',
  value_changed: 'value_changed',
  configured: 'configured',
  deleted: 'deleted',
}

/** Fields that do not apply are undefined: one shape for all, as many are made. */
export type EventBody = {
  type: EventType
  lock: string
  token: number | undefined
  holder: string | undefined
  by: string | undefined
  reason: string | undefined
  /** Of `queued` and `dequeued`. */
  queueLength: number | undefined
}

const none: readonly EventBody[] = []
const unheld = { token: undefined, holder: undefined, queueLength: undefined }

/** One event for each lock that the entry concerns; none for entries that only keep the books. */
export function eventsOf(entry: Entry): readonly EventBody[] {
  const type = public_[entry.type]
  if (!type) return none
  const by = entry.why?.by
  const reason = entry.type === 'max_hold' || entry.type === 'session_closed' ? entry.type : entry.why?.reason
  switch (entry.record) {
    case 'grant': {
      const holder = entry.value?.holder ?? entry.why?.holder
      return [{ type, lock: entry.lock, token: entry.token, holder, by, reason, queueLength: undefined }]
    }
    case 'wait': {
      const holder = entry.value?.holder ?? entry.why?.holder ?? entry.gone?.waiter.holder
      const queue = entry.why?.queue
      return entry.locks.map((lock, place) => {
        return { type, lock, token: undefined, holder, by, reason, queueLength: queue?.[place] }
      })
    }
    case 'delay':
    case 'value':
    case 'config':
      return [{ ...unheld, type, lock: entry.lock, by, reason }]
    case 'freeze':
      return [{ ...unheld, type, lock: entry.prefix, by, reason: entry.value ? reason : 'thawed' }]
    default:
      return none
  }
}

export type Told =
  | { type: 'preempting'; lock: string; token: number; by: string; reason: string; graceMs: number; changes: number }
  | { type: 'lost'; lock: string; token: number; reason: string; changes: number }
  | { type: 'received'; lock: string; token: number; changes: number }

/** What the holder is told over its connection, if it did not do it itself. `now` is on the shard's clock. */
export function pushOf(entry: Entry, now: number): { session: string; push: Told } | null {
  if (entry.record !== 'grant' || !entry.why?.session) return null
  const { lock, token, value, why } = entry
  const session = entry.why.session
  const changes = why.change ?? 0
  if (entry.type === 'preempting' && value?.notice) {
    const { by, reason, endsMs } = value.notice
    return {
      session,
      push: { type: 'preempting', lock, token, by, reason, graceMs: Math.max(0, Math.floor(endsMs - now)), changes },
    }
  }
  if (entry.type === 'granted') return { session, push: { type: 'received', lock, token, changes } }
  const isLost =
    entry.type === 'forced' || entry.type === 'preempted' || entry.type === 'max_hold' || entry.type === 'expired'
  return isLost ? { session, push: { type: 'lost', lock, token, reason: entry.type, changes } } : null
}
