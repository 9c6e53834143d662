/**
 * Entries become what watchers read. An event's id is its place in the log (batch, number within the batch) under the id of the cluster:
 * within an instance none is missing and ids only grow. The latest are kept in memory, filled from the log after a recovery, so that a
 * watcher whose connection broke resumes where it was; who comes with an older cursor, or one of another cluster, is told so.
 *
 * Entries that the cleaner carried are no events: nothing happened.
 */
import type { LockEvent } from '@holdfast/protocol/events'
import { FEED_BYTES_MAX, FEED_EVENTS_MAX } from '@holdfast/protocol/limits'
import { type EventBody, eventsOf } from '../locks/events.ts'
import type { Entry, Refusal } from '../locks/model.ts'
import type { Batch } from './batch.ts'
import type { History, HistoryOptions, WatchFilter, WatchSink } from './port.ts'

type Place = { seq: number; index: number }
type Kept = Place & {
  instance: string
  at: number
  body: EventBody
  /** Of a freeze: `lock` is a prefix, and concerns all that starts with it. */
  isPrefix: boolean
}
export type Filter = { prefix?: string; name?: string }
type Watch = { instance: string; filter: Filter; sink: WatchSink }

/** Hexadecimal digits of the cluster's id in a cursor: enough to know a foreign one. */
const CLUSTER_DIGITS = 8
/** What an event takes besides its texts, with its place and the objects around it. (Measured: 210 bytes with 19 units of text, which this counts as 238.) */
const EVENT_BYTES = 200
/** Of a UTF-16 unit, at the most. */
const UNIT_BYTES = 2

/** How much is kept: whichever is reached first. */
export type FeedLimits = { eventsMax: number; bytesMax: number }
type FeedOptions = FeedLimits & {
  /** Why the instance cannot have a watch beside `open` others; null: it can. */
  refusal(instance: string, open: number): Refusal | null
}
const optionsDefault: FeedOptions = { eventsMax: FEED_EVENTS_MAX, bytesMax: FEED_BYTES_MAX, refusal: () => null }

export class Feed {
  readonly #cluster: string
  readonly #options: FeedOptions
  /** Grows up to `eventsMax` places; those outside of the `#count` from `#oldest` on are null. */
  readonly #ring: (Kept | null)[] = []
  #oldest = 0
  #count = 0
  #bytes = 0
  /** All events beyond this place are in the ring. */
  #completeAfter: Place = { seq: 0, index: 0 }
  #newest: Place = { seq: 0, index: 0 }
  readonly #watches = new Map<string, Set<Watch>>()

  constructor(clusterId: string, options: Partial<FeedOptions> = {}) {
    this.#options = { ...optionsDefault, ...options }
    this.#cluster = clusterId.slice(0, CLUSTER_DIGITS)
  }

  /** The next batches are read from a log that begins with `seq`: of what lies before nothing is known. */
  restart(seq: number): void {
    this.#ring.length = 0
    this.#oldest = 0
    this.#count = 0
    this.#bytes = 0
    this.#completeAfter = { seq, index: 0 }
    this.#newest = this.#completeAfter
  }

  /** Remembers the events of a batch that is being recovered. */
  recall(batch: Batch): void {
    const place = { seq: batch.seq, at: batch.at }
    let count = 0
    for (const [instance, ...entries] of batch.entries) {
      for (const entry of entries) count = this.#keep(place, instance, entry, count)
    }
    this.#newest = { seq: batch.seq, index: count }
  }

  /** Remembers the events of a batch that has just become durable, and tells the watchers. */
  publish(
    place: { seq: number; at: number },
    written: readonly { instance: string; entries: readonly Entry[] }[],
  ): void {
    let count = 0
    for (const { instance, entries } of written) {
      const isWatched = this.#watches.has(instance)
      for (const entry of entries) {
        const before = count
        count = this.#keep(place, instance, entry, count)
        if (isWatched && count > before) this.#tellLatest(instance, count - before)
      }
    }
    this.#newest = { seq: place.seq, index: count }
  }

  /** Events beyond the cursor first, then as they come. */
  watch(instance: string, filter: WatchFilter, sink: WatchSink): { stop(): void } {
    const refusal = this.#options.refusal(instance, this.#watches.get(instance)?.size ?? 0)
    if (refusal) {
      sink.refused(refusal)
      return { stop: () => undefined }
    }
    const { after, ...names } = filter
    const watch: Watch = { instance, filter: names, sink }
    const cursor = this.#cursor(this.#newest)
    const from = after === undefined ? this.#newest : this.#parse(after)
    const isKnown = from && isBefore(from, this.#completeAfter) === false && !isBefore(this.#newest, from)
    if (!isKnown) sink.reset(cursor)
    sink.began(isKnown && after !== undefined ? after : cursor)
    if (isKnown && isBefore(from, this.#newest) && !this.#replay(watch, from)) return { stop: () => undefined }
    const watches = this.#watches.get(instance) ?? new Set()
    this.#watches.set(instance, watches.add(watch))
    return { stop: () => this.#stop(watch) }
  }

  /** Whether more is known of the log elsewhere than here: the cursor is beyond all that was read or written. */
  isBehind(cursor: string | undefined): boolean {
    const place = cursor === undefined ? null : this.#parse(cursor)
    return place !== null && isBefore(this.#newest, place)
  }

  /** Events of one lock, newest first. */
  history(instance: string, { lock, limit, before }: HistoryOptions): History {
    const until = before === undefined ? null : this.#parse(before)
    const events: LockEvent[] = []
    if (before !== undefined && !until) return { events, more: false }
    for (let age = 1; age <= this.#count; age++) {
      const kept = this.#at(this.#count - age)
      if (kept.instance !== instance || !concerns(kept, { name: lock })) continue
      if (until && !isBefore(kept, until)) continue
      if (events.length === limit) return { events, more: true }
      events.push(this.#event(kept))
    }
    return { events, more: false }
  }

  /** The watchers are to go elsewhere, and have been told of all that there was. */
  end(): void {
    const all = [...this.#watches.values()].flatMap(watches => [...watches])
    this.#watches.clear()
    const cursor = this.#cursor(this.#newest)
    for (const { sink } of all) sink.ended(cursor)
  }

  #keep(place: { seq: number; at: number }, instance: string, entry: Entry, count: number): number {
    let index = count
    for (const body of eventsOf(entry)) {
      index++
      this.#add({ seq: place.seq, index, at: place.at, instance, body, isPrefix: entry.record === 'freeze' })
    }
    return index
  }

  #add(kept: Kept): void {
    const { eventsMax, bytesMax } = this.#options
    const bytes = bytesOf(kept)
    while (this.#count > 0 && (this.#count === eventsMax || this.#bytes + bytes > bytesMax)) this.#forgetOldest()
    this.#ring[(this.#oldest + this.#count) % eventsMax] = kept
    this.#count++
    this.#bytes += bytes
  }

  #forgetOldest(): void {
    const kept = this.#at(0)
    this.#completeAfter = { seq: kept.seq, index: kept.index }
    this.#ring[this.#oldest] = null
    this.#oldest = (this.#oldest + 1) % this.#options.eventsMax
    this.#count--
    this.#bytes -= bytesOf(kept)
  }

  /** By age: 0 is the oldest of `#count`. */
  #at(place: number): Kept {
    return this.#ring[(this.#oldest + place) % this.#options.eventsMax]!
  }

  #tellLatest(instance: string, count: number): void {
    for (let place = Math.max(0, this.#count - count); place < this.#count; place++) {
      const kept = this.#at(place)
      let event: LockEvent | null = null
      for (const watch of this.#watches.get(instance) ?? []) {
        if (!concerns(kept, watch.filter)) continue
        event ??= this.#event(kept)
        // Full: it resumes by its cursor, nothing is skipped.
        if (!watch.sink.event(event)) this.#stop(watch)
      }
    }
  }

  /** Whether the watcher took all of it. */
  #replay(watch: Watch, from: Place): boolean {
    for (let place = 0; place < this.#count; place++) {
      const kept = this.#at(place)
      if (kept.instance !== watch.instance || !isBefore(from, kept) || !concerns(kept, watch.filter)) continue
      if (!watch.sink.event(this.#event(kept))) return false
    }
    return true
  }

  #stop(watch: Watch): void {
    const watches = this.#watches.get(watch.instance)
    watches?.delete(watch)
    if (watches?.size === 0) this.#watches.delete(watch.instance)
  }

  #event(kept: Kept): LockEvent {
    const { type, lock, token, holder, by, reason, queueLength } = kept.body
    const event: LockEvent = { id: this.#cursor(kept), at: new Date(kept.at).toISOString(), type, lock }
    if (token !== undefined) event.token = token
    if (holder !== undefined) event.holder = holder
    if (by !== undefined) event.by = by
    if (reason !== undefined) event.reason = reason
    if (queueLength !== undefined) event.queue_length = queueLength
    return event
  }

  #cursor({ seq, index }: Place): string {
    return `${this.#cluster}-${seq}-${index}`
  }

  #parse(cursor: string): Place | null {
    const [, cluster, seq, index] = /^([0-9a-f]+)-(\d{1,16})-(\d{1,16})$/.exec(cursor) ?? []
    return cluster === this.#cluster ? { seq: Number(seq), index: Number(index) } : null
  }
}

/** About what it takes in memory, from above. */
function bytesOf({ body: { lock, holder = '', by = '', reason = '' } }: Kept): number {
  return EVENT_BYTES + (lock.length + holder.length + by.length + reason.length) * UNIT_BYTES
}

function isBefore(one: Place, other: Place): boolean {
  return one.seq < other.seq || (one.seq === other.seq && one.index < other.index)
}

function concerns({ body: { lock }, isPrefix }: Kept, { prefix, name }: Filter): boolean {
  if (isPrefix && (name ?? prefix ?? '').startsWith(lock)) return true
  if (name !== undefined) return lock === name
  return prefix === undefined || lock.startsWith(prefix)
}
