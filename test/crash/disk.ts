/**
 * What a disk may hold when the power goes.
 *
 * A write that returned has reached the memory of the kernel, no more; it lasts once a sync of its file that began after it has returned, or at once
 * when its descriptor says so. Until then each part of it is on the disk or not, in any order, whatever was written before or after, to this file
 * or another: the kernel writes pages back as it likes, and a disk takes sectors as it likes. A file may have become longer without what
 * it has become longer for; then it has zeros there. A sector is never half written: that much every disk promises, and LMDB asks for no more.
 *
 * What a folder calls a file lasts once the folder has been synced. Until then it has the name, or the one before, or none.
 */
import type { Chance } from '../simulator/chance.ts'
import type { Event, File, Recording, Sized, Written } from './recording.ts'
import { PAGE_BYTES } from './trace.ts'

export const SECTOR_BYTES = 512

/** Of what does not yet last: all is there, nothing is, some pages are, some sectors are. */
export type Kind = 'prefix' | 'synced' | 'pages' | 'sectors'

/** A disk that keeps syncs to itself: how many of the latest calls it may have lost all the same. */
const UNSYNCED_CALLS = 24
/** How much of a file's part is there. Of one file it may be all, and of another nothing. */
const RATES = [0, 0.1, 0.5, 0.9, 1]

type Change = Written | Sized
type Cut = { cut: number; kind: Kind; chance: Chance; isDeaf: boolean }

/** The files of the store's folder after the power went before event `cut`, by their names. */
export function imageAt({ events }: Pick<Recording, 'events'>, options: Cut): Map<string, Buffer> {
  const { cut, kind, chance } = options
  const found = new Map<string, Buffer>()
  const names = namesAt(events.slice(0, cut), { kind, chance })
  const contents = contentsAt(events.slice(0, cut), options)
  for (const [name, file] of names) found.set(name, contents.get(file)?.bytes() ?? Buffer.alloc(0))
  return found
}

function namesAt(events: readonly Event[], { kind, chance }: Pick<Cut, 'kind' | 'chance'>): Map<string, File> {
  // Of each name what the folder may say: first what lasts, then all that has come since.
  const said = new Map<string, (File | null)[]>()
  for (const event of events)
    if (event.type === 'restored') {
      said.clear()
      for (const [file, { name }] of event.files) said.set(name, [file])
    } else if (event.type === 'named')
      said.set(event.name, event.isLasting ? [event.file] : [...(said.get(event.name) ?? [null]), event.file])
  const names = new Map<string, File>()
  for (const [name, files] of said) {
    const file =
      files.length === 1 || kind === 'synced' ? files[0] : kind === 'prefix' ? files.at(-1) : chance.pick(files)
    if (file) names.set(name, file)
  }
  return names
}

function contentsAt(events: readonly Event[], { kind, chance, isDeaf }: Cut): Map<File, Image> {
  const { restored, changes, isLasting } = changesIn(events, { isDeaf })
  const contents = new Map<File, { image: Image; rate: number; isLengthFirst: boolean }>()
  const contentOf = (image: Image) => ({ image, rate: chance.pick(RATES), isLengthFirst: chance.isLuckyAt(0.5) })
  for (const [file, { bytes }] of restored) contents.set(file, contentOf(new Image(bytes)))
  for (const change of changes) {
    const content = contents.get(change.file) ?? contentOf(new Image())
    contents.set(change.file, content)
    if (isLasting(change.call) || kind === 'prefix') content.image.apply(change)
    else if (kind !== 'synced')
      for (const part of partsOf(change, kind === 'pages' ? PAGE_BYTES : SECTOR_BYTES))
        if (chance.isLuckyAt(content.rate)) content.image.apply(part)
        else if (content.isLengthFirst && part.type === 'written') content.image.apply(lengthOf(part))
  }
  return new Map([...contents].map(([file, { image }]) => [file, image]))
}

function changesIn(events: readonly Event[], { isDeaf }: { isDeaf: boolean }) {
  let restored: Extract<Event, { type: 'restored' }>['files'] = new Map()
  let changes: Change[] = []
  const lasting = new Set<number>()
  for (const event of events) {
    if (event.type === 'restored') {
      restored = event.files
      changes = []
    } else if (event.type === 'written' || event.type === 'sized') changes.push(event)
    else if (event.type === 'synced') for (const call of event.calls) lasting.add(call)
  }
  const oldest = (changes.at(-1)?.call ?? 0) - UNSYNCED_CALLS
  return { restored, changes, isLasting: (call: number) => (isDeaf ? call <= oldest : lasting.has(call)) }
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

function lengthOf({ file, call, offset, bytes }: Written): Sized {
  return { type: 'sized', file, call, length: offset + bytes.length, isGrown: true }
}

class Image {
  #bytes: Buffer
  #length: number

  constructor(bytes: Uint8Array = new Uint8Array(0)) {
    this.#bytes = Buffer.concat([bytes, Buffer.alloc(64 * PAGE_BYTES)])
    this.#length = bytes.length
  }

  apply(change: Change): void {
    const end = change.type === 'sized' ? change.length : change.offset + change.bytes.length
    if (end > this.#bytes.length) this.#bytes = Buffer.concat([this.#bytes, Buffer.alloc(end)])
    if (change.type === 'sized' && !change.isGrown) {
      this.#bytes.fill(0, end)
      this.#length = end
    } else {
      // What lies between the old end and a page behind it reads as zeros.
      if (change.type === 'written') this.#bytes.set(change.bytes, change.offset)
      this.#length = Math.max(this.#length, end)
    }
  }

  bytes(): Buffer {
    return this.#bytes.subarray(0, this.#length)
  }
}
