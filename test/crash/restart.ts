/** What the next life of the process finds: after a kill what the kernel has, after a power cut what the disk has. */
import { readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { basename, join } from 'node:path'
import { chanceOf } from '../simulator/chance.ts'
import { imageAt } from './disk.ts'
import { openIn } from './points.ts'
import type { Event, File } from './recording.ts'
import { isNoMatter, type Known, PAGE_BYTES } from './trace.ts'

/**
 * What the process was writing when it was killed is there or not, page by page: the files say what the next life has found. Then all that was
 * recorded must be what they hold. @throws when it is not: then something has changed them that was not seen.
 */
export function settled(events: readonly Event[], known: Known): Event[] {
  const files = new Map(
    [...known.files].map(([path, file]) => [file, readFileSync(path)]), // each by a name that it has
  )
  const left = events.flatMap(event => {
    if (event.type === 'sized' && known.begun.has(event.call))
      throw new Error('killed while a file was given its length')
    if (event.type !== 'written' || !known.begun.has(event.call)) return [event]
    const pages: Event[] = []
    for (let from = 0; from < event.bytes.length; from += PAGE_BYTES) {
      const bytes = event.bytes.subarray(from, from + PAGE_BYTES)
      const offset = event.offset + from
      if (
        files
          .get(event.file)
          ?.subarray(offset, offset + bytes.length)
          .equals(bytes)
      )
        pages.push({ ...event, offset, bytes })
    }
    return pages
  })
  // A sync of the next life is one of them too.
  for (const [call, file] of known.begun) known.done.set(call, file)
  known.begun.clear()
  const image = imageAt({ events: left }, { cut: left.length, kind: 'prefix', chance: chanceOf(0, ''), isDeaf: false })
  for (const name of readdirSync(known.folder))
    if (
      !isNoMatter(name) &&
      !name.startsWith('new-') &&
      !image.get(name)?.equals(readFileSync(join(known.folder, name)))
    )
      throw new Error(`the recording has holes: ${name} is not what was seen to be written`)
  return left
}

/**
 * Cuts the power in the second half of the events from `begun`, in the middle of a write to a journal, and gives the folder to the next life as the disk
 * has it. What came after the cut has not happened.
 */
export function powerCut(
  events: readonly Event[],
  { known, begun, seed }: { known: Known; begun: number; seed: number },
): Event[] {
  const chance = chanceOf(seed, 'power')
  const openAt = openIn({ events })
  const middle = Math.floor((begun + events.length) / 2)
  const cutsIn = new Map<string, number[]>([
    ['journal-0', []],
    ['journal-1', []],
  ])
  for (let cut = middle; cut <= events.length; cut++)
    for (const file of new Set(openAt(cut).files.values())) cutsIn.get(basename(file))?.push(cut)
  // The second by choice: a start begins that one anew.
  const cuts = [...cutsIn.values()].findLast(({ length }) => length > 0)
  const cut = cuts ? chance.pick(cuts) : events.length
  const image = imageAt({ events }, { cut, kind: chance.pick(['pages', 'sectors']), chance, isDeaf: false })
  for (const name of readdirSync(known.folder))
    if (!isNoMatter(name)) rmSync(join(known.folder, name), { recursive: true })
  for (const one of [known.files, known.namesOpen, known.done, known.begun]) one.clear()
  const files = new Map<File, { name: string; bytes: Uint8Array }>()
  for (const [name, bytes] of image) {
    const file = `restored/${name}`
    files.set(file, { name, bytes })
    known.files.set(join(known.folder, name), file)
    writeFileSync(join(known.folder, name), bytes)
  }
  return [...events.slice(0, cut), { type: 'restored', files }]
}
