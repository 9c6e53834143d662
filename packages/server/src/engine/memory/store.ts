/** The contents of a memory engine, apart from it so that several engines (servers) can share one. */
import {
  type Check,
  type CommitResult,
  EngineCompacted,
  type KeyValue,
  type Listing,
  type ListOptions,
  type Write,
} from '../engine.ts'
import { compareKeys } from '../request.ts'

/** Commits that a listing can go back by. */
const PAST_COMMITS = 64

/** What the keys that a commit wrote held before it. */
type Undo = { revision: number; before: Map<string, KeyValue | null> }

export class MemoryStore {
  revision = 1
  readonly #values = new Map<string, KeyValue>()
  /** All keys, in byte order. */
  #keys: string[] = []
  readonly #watchers = new Set<(key: string) => void>()
  /** Of the latest commits, oldest first. */
  readonly #past: Undo[] = []

  get(key: string): KeyValue | null {
    const found = this.#values.get(key)
    return found ? { ...found, value: found.value.slice() } : null
  }

  list({ prefix, limit, after, revision, atLeast = 0 }: ListOptions): Listing {
    this.refuseFuture(Math.max(atLeast, revision ?? 0))
    if (revision !== undefined && revision < this.revision) {
      return this.#asOf(revision).list({ prefix, limit, ...(after === undefined ? {} : { after }) })
    }
    const pairs: KeyValue[] = []
    let place = this.#placeOf(prefix)
    if (after !== undefined && compareKeys(after, prefix) >= 0) {
      place = this.#placeOf(after)
      if (this.#keys[place] === after) place++
    }
    for (; this.#keys[place]?.startsWith(prefix); place++) {
      if (pairs.length === limit) return { pairs, revision: this.revision, more: true }
      pairs.push(this.get(this.#keys[place]!)!)
    }
    return { pairs, revision: this.revision, more: false }
  }

  commit({ checks, writes }: { checks: Check[]; writes: Write[] }): CommitResult {
    const found = checks.map(check => this.get(check.key))
    const passed = checks.every((check, index) => (found[index]?.modRevision ?? 0) === check.modRevision)
    if (!passed) return { ok: false, revision: this.revision, found }
    if (writes.length === 0) return { ok: true, revision: this.revision }
    this.revision++
    this.#past.push({ revision: this.revision, before: new Map() })
    if (this.#past.length > PAST_COMMITS) this.#past.shift()
    for (const write of writes) this.#write(write)
    return { ok: true, revision: this.revision }
  }

  /** Calls back with every key that is written. */
  watch(callback: (key: string) => void): () => void {
    this.#watchers.add(callback)
    return () => this.#watchers.delete(callback)
  }

  /** Throws when the store has not come so far. */
  refuseFuture(revision: number): void {
    if (revision <= this.revision) return
    throw new Error(`revision ${revision} has not been reached: the store is at ${this.revision}`)
  }

  usedBytes(): number {
    let bytes = 0
    for (const { key, value } of this.#values.values()) bytes += key.length + value.byteLength
    return bytes
  }

  #write(write: Write): void {
    if ('from' in write) {
      const from = this.#placeOf(write.from)
      const removed = this.#keys.splice(from, Math.max(0, this.#placeOf(write.to) - from))
      for (const key of removed) this.#remember(key)
      for (const key of removed) this.#values.delete(key)
      for (const key of removed) this.#tell(key)
      return
    }
    const place = this.#placeOf(write.key)
    const isThere = this.#keys[place] === write.key
    this.#remember(write.key)
    if ('value' in write) {
      if (!isThere) this.#keys.splice(place, 0, write.key)
      this.#values.set(write.key, { key: write.key, value: write.value.slice(), modRevision: this.revision })
    } else if (isThere) {
      this.#keys.splice(place, 1)
      this.#values.delete(write.key)
    }
    this.#tell(write.key)
  }

  #remember(key: string): void {
    this.#past.at(-1)!.before.set(key, this.#values.get(key) ?? null)
  }

  /** The store as it was, apart from this one. */
  #asOf(revision: number): MemoryStore {
    const undone = this.#past.filter(commit => commit.revision > revision).reverse()
    if (undone.length < this.revision - revision) throw new EngineCompacted(`revision ${revision} is not kept`)
    const values = new Map(this.#values)
    for (const { before } of undone) {
      for (const [key, pair] of before) {
        if (pair) values.set(key, pair)
        else values.delete(key)
      }
    }
    const past = new MemoryStore()
    past.revision = revision
    for (const [key, pair] of values) past.#values.set(key, pair)
    past.#keys = [...values.keys()].sort(compareKeys)
    return past
  }

  #tell(key: string): void {
    for (const watcher of this.#watchers) watcher(key)
  }

  /** Index of the first key that is not below `key`. */
  #placeOf(key: string): number {
    let low = 0
    let high = this.#keys.length
    while (low < high) {
      const middle = (low + high) >>> 1
      if (compareKeys(this.#keys[middle]!, key) < 0) low = middle + 1
      else high = middle
    }
    return low
  }
}
