/**
 * What watchers read against the log: in order, none twice, none missing, none that did not happen; gaps only where a `reset` says so (I13), and a `reset`
 * only where what lay behind the watcher's cursor could be gone: from the log, which is what a new owner reads, or from the memory of an owner.
 */
import { FEED_EVENTS_MAX } from '@holdfast/protocol/limits'
import { Violation } from './judge.ts'
import type { Written } from './log.ts'

type Event = { seq: number; index: number; text: string }
type Told = { id: string; type: string; lock: string; token?: number | undefined }
/** As a watcher has it. */
export type Item = Told | { reset: string }
/** `keptFrom`: the first batch that the log still had when the reset was read, or later. */
export type Seen = Told | { reset: string; keptFrom: number }

/** What is read of each kind of change, if anything. Its own list, so that a mistake in the product's does not hide here. */
const readable: Record<string, string> = {
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

export class Events {
  readonly #byInstance = new Map<string, Event[]>()
  #last = { shard: -1, seq: -1, count: 0 }

  wrote({ instance, entry, batch: { seq }, shard }: Written): void {
    if (this.#last.shard !== shard || this.#last.seq !== seq) this.#last = { shard, seq, count: 0 }
    const type = readable[entry.type]
    if (!type) return
    for (const text of textsOf(entry, type)) {
      const index = ++this.#last.count
      const events = this.#byInstance.get(instance)
      if (events) events.push({ seq, index, text })
      else this.#byInstance.set(instance, [{ seq, index, text }])
    }
  }

  /** `isAtRest`: nothing is under way, and it has been watching to the end. Returns how many were compared. */
  compare(instance: string, seen: readonly Seen[], { isAtRest }: { isAtRest: boolean }): number {
    const events = this.#byInstance.get(instance) ?? []
    let next: number | null = null
    let compared = 0
    for (const one of seen) {
      if ('reset' in one) {
        const from = next
        next = placeAfter(events, parse(one.reset))
        if (from !== null) judgeReset(events.slice(from, next), one, events[from - 1] ?? null)
        continue
      }
      const place = parse(one.id)
      if (next === null) next = events.findIndex(({ seq, index }) => seq === place.seq && index === place.index)
      const event = events[next]
      const text = `${one.type} ${one.lock} ${one.token ?? ''}`
      const isNext = event && event.seq === place.seq && event.index === place.index && event.text === text
      if (!isNext)
        throw new Violation(`I13: a watcher read ${one.id} ${text}; next was ${JSON.stringify(event ?? null)}`)
      next++
      compared++
    }
    if (compared === 0 && events.length > 0) throw new Violation(`I13: a watcher has read nothing of ${instance}`)
    if (isAtRest && next !== null && next < events.length)
      throw new Violation(`I13: a watcher has not read ${JSON.stringify(events[next])}`)
    return compared
  }
}

function placeAfter(events: readonly Event[], { seq, index }: Pick<Event, 'seq' | 'index'>): number {
  const place = events.findIndex(event => event.seq > seq || (event.seq === seq && event.index > index))
  return place < 0 ? events.length : place
}

/** `skipped`: what it took from the watcher, whose cursor was that of `last`. */
function judgeReset(
  skipped: readonly Event[],
  { reset, keptFrom }: Extract<Seen, { reset: string }>,
  last: Event | null,
): void {
  if (skipped.length >= FEED_EVENTS_MAX || (last?.seq ?? 0) < keptFrom) return
  throw new Violation(
    `I13: a watcher was reset to ${reset} after ${JSON.stringify(last)}: the log was kept from ${keptFrom}`,
  )
}

function textsOf(entry: Written['entry'], type: string): string[] {
  switch (entry.record) {
    case 'grant':
      return [`${type} ${entry.lock} ${entry.token}`]
    case 'wait':
      return entry.locks.map(lock => `${type} ${lock} `)
    case 'delay':
    case 'value':
    case 'config':
      return [`${type} ${entry.lock} `]
    case 'freeze':
      return [`${type} ${entry.prefix} `]
    default:
      return []
  }
}

function parse(id: string): { seq: number; index: number } {
  const [seq = Number.NaN, index = Number.NaN] = id.split('-').slice(-2).map(Number)
  return { seq, index }
}
