/**
 * What a disk may hold when the power goes.
 *
 * A write that returned has reached the memory of the kernel, no more; it lasts once a sync that began after it has returned, or at once when its
 * descriptor says so. Until then each part of it is on the disk or not, in any order, whatever was written before or after: the kernel writes
 * pages back as it likes, and a disk takes sectors as it likes. A sector is never half written: that much every disk promises,
 * and LMDB asks for no more.
 */
import type { Chance } from '../simulator/chance.ts'
import type { Event, Recording } from './recording.ts'
import { PAGE_BYTES } from './trace.ts'

export const SECTOR_BYTES = 512

/** Of what does not yet last: all is there, nothing is, some pages are, some sectors are. */
export type Kind = 'prefix' | 'synced' | 'pages' | 'sectors'

/** A disk that keeps syncs to itself: how many of the latest calls it may have lost all the same. */
const UNSYNCED_CALLS = 24

type Change = Extract<Event, { type: 'written' | 'sized' }>

/** The data file after the power went before event `cut`; null: there is none. */
export function imageAt(
  { events }: Pick<Recording, 'events'>,
  { cut, kind, chance, isDeaf }: { cut: number; kind: Kind; chance: Chance; isDeaf: boolean },
): Buffer | null {
  const { changes, isLasting } = changesBefore(events, { cut, isDeaf })
  const named = events.slice(0, cut).filter(event => event.type === 'named')
  const isThere =
    named.some(event => event.isLasting) || kind === 'prefix' || (kind !== 'synced' && chance.isLuckyAt(0.5))
  if (named.length === 0 || !isThere) return null
  const rate = chance.pick([0.1, 0.5, 0.9])
  const image = new Image()
  for (const change of changes) {
    if (isLasting(change.call) || kind === 'prefix') image.apply(change)
    else if (kind !== 'synced')
      for (const part of partsOf(change, kind === 'pages' ? PAGE_BYTES : SECTOR_BYTES))
        if (chance.isLuckyAt(rate)) image.apply(part)
  }
  return image.bytes()
}

function changesBefore(events: readonly Event[], { cut, isDeaf }: { cut: number; isDeaf: boolean }) {
  const changes: Change[] = []
  const lasting = new Set<number>()
  for (const event of events.slice(0, cut)) {
    if (event.type === 'written' || event.type === 'sized') changes.push(event)
    else if (event.type === 'synced') for (const call of event.calls) lasting.add(call)
  }
  const oldest = (changes.at(-1)?.call ?? 0) - UNSYNCED_CALLS
  return { changes, isLasting: (call: number) => (isDeaf ? call <= oldest : lasting.has(call)) }
}

function partsOf(change: Change, unit: number): Change[] {
  if (change.type === 'sized') return [change]
  const parts: Change[] = []
  const end = change.offset + change.bytes.length
  for (let from = change.offset; from < end; ) {
    const to = Math.min(end, (Math.floor(from / unit) + 1) * unit)
    parts.push({ ...change, offset: from, bytes: change.bytes.subarray(from - change.offset, to - change.offset) })
    from = to
  }
  return parts
}

class Image {
  #bytes = Buffer.alloc(64 * PAGE_BYTES)
  #length = 0

  apply(change: Change): void {
    const end = change.type === 'sized' ? change.length : change.offset + change.bytes.length
    if (end > this.#bytes.length) this.#bytes = Buffer.concat([this.#bytes, Buffer.alloc(end)])
    if (change.type === 'sized') {
      this.#bytes.fill(0, end)
      this.#length = end
    } else {
      // What lies between the old end and a page behind it reads as zeros.
      this.#bytes.set(change.bytes, change.offset)
      this.#length = Math.max(this.#length, end)
    }
  }

  bytes(): Buffer {
    return this.#bytes.subarray(0, this.#length)
  }
}
