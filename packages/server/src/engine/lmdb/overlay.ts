/**
 * What has been committed and does not lie in LMDB yet, in layers: the newest decides. What is put and deleted before it gets there never does: of a log
 * that is cleaned, that is most.
 */
import type { Write } from '../engine.ts'
import { compareKeys } from '../request.ts'

/** null: it was deleted, and a layer below has it. */
export type Held = { value: Buffer; modRevision: number } | null

export class Layer {
  readonly #held = new Map<string, Held>()

  /** undefined: it has nothing to say. */
  get(key: string): Held | undefined {
    return this.#held.get(key)
  }

  has(key: string): boolean {
    return this.#held.has(key)
  }

  put(key: string, value: Buffer, modRevision: number): void {
    this.#held.set(key, { value, modRevision })
  }

  /** `isBelow`: a layer below has it, so that it has to be hidden. */
  delete(key: string, { isBelow }: { isBelow: boolean }): void {
    if (isBelow) this.#held.set(key, null)
    else this.#held.delete(key)
  }

  entries(): Iterable<[string, Held]> {
    return this.#held
  }

  keysWithin(isWithin: (key: string) => boolean): string[] {
    const keys: string[] = []
    for (const key of this.#held.keys()) if (isWithin(key)) keys.push(key)
    return keys
  }
}

/** By `compareKeys`; where the texts allow it by the order that the language has for them, which is far quicker. */
export function withinRange(from: string, to: string): (key: string) => boolean {
  // Orders differ only where a surrogate meets a unit behind all surrogates, and then both are at least this.
  if (isBelowSurrogates(from) && isBelowSurrogates(to)) return key => key >= from && key < to
  return key => compareKeys(from, key) <= 0 && compareKeys(key, to) < 0
}

/** Those of a listing. */
export function wantedBy({ prefix, after }: { prefix: string; after?: string | undefined }): (key: string) => boolean {
  if (after === undefined) return key => key.startsWith(prefix)
  const isBehind = isBelowSurrogates(after)
    ? (key: string) => key > after
    : (key: string) => compareKeys(key, after) > 0
  return key => isBehind(key) && key.startsWith(prefix)
}

/** In place. */
export function sortKeys(keys: string[]): string[] {
  return keys.every(isBelowSurrogates) ? keys.sort() : keys.sort(compareKeys)
}

export function rangesOf(writes: readonly Write[]): Extract<Write, { from: string }>[] {
  return writes.filter(write => 'from' in write)
}

function isBelowSurrogates(text: string): boolean {
  return !/[\ud800-\uffff]/.test(text)
}
