/** Which moments the power is cut at, and what of the unsynced is then on the disk. */
import { basename } from 'node:path'
import { chanceOf } from '../simulator/chance.ts'
import type { Kind } from './disk.ts'
import type { File, Recording } from './recording.ts'

export type Point = { cut: number; kind: Kind; seed: number; isDeaf: boolean }

/** So many moments of the beginning are always among them: a store is made once, and in steps of its own. */
const BEGINNING = 12
/** How much likelier a moment is to be among them at which LMDB takes over what a journal has. */
const SETTLING_WEIGHT = 2

export type Choice = {
  /** At least so many, if the recording has them. */
  points: number
  seed: number
  /** The disk does not do what syncs ask for. */
  isDeaf: boolean
}

/**
 * First every prefix; where something does not yet last, what is left when nothing of it does; then draws of pages and of sectors,
 * until there are enough. Of more than that a draw is taken.
 */
export function pointsOf(recording: Recording, { points, seed, isDeaf }: Choice): Point[] {
  const cuts = cutsOf(recording)
  const uncertain = isDeaf ? cuts.slice(1) : cuts.filter(uncertainIn(recording))
  const chosen: Point[] = [
    ...cuts.map(cut => ({ cut, kind: 'prefix' as const, seed, isDeaf })),
    ...uncertain.map(cut => ({ cut, kind: 'synced' as const, seed, isDeaf })),
  ]
  const drawn: Point[] = []
  // As many that are drawn as those that are counted, at the least.
  for (let round = 0; uncertain.length > 0 && drawn.length < Math.max(chosen.length, points - chosen.length); round++)
    for (const cut of uncertain)
      drawn.push({ cut, kind: round % 2 === 0 ? 'pages' : 'sectors', seed: seed + round + 1, isDeaf })
  const all = [...chosen, ...drawn]
  if (all.length <= points) return all
  const chance = chanceOf(seed, 'points')
  const begun = cuts[BEGINNING] ?? 0
  const isSettling = settlingIn(recording)
  const settling = new Set(cuts.filter(isSettling))
  const weightOf = ({ cut }: Point) => (settling.has(cut) ? SETTLING_WEIGHT : 1)
  const keys = new Map(all.map(point => [point, point.cut < begun ? -1 : chance.fraction() / weightOf(point)]))
  return all.sort((one, other) => keys.get(one)! - keys.get(other)!).slice(0, points)
}

/** Whether anything may be lost that was written before the cut. To be asked in order. */
function uncertainIn(recording: Recording): (cut: number) => boolean {
  const openAt = openIn(recording)
  return cut => {
    const { files, names } = openAt(cut)
    return files.size > 0 || names.size > 0
  }
}

/** At how many of the points LMDB's file was being written while there were journals: what a journal has is going there, and it is to be begun anew. */
export function countSettling(recording: Recording, points: readonly Point[]): number {
  const isSettling = settlingIn(recording)
  return points.toSorted((one, other) => one.cut - other.cut).filter(({ cut }) => isSettling(cut)).length
}

/** To be asked in order. */
function settlingIn(recording: Recording): (cut: number) => boolean {
  const openAt = openIn(recording)
  const firstCommit = recording.events.findIndex(({ type }) => type === 'mark')
  return cut => {
    const files = [...openAt(cut).files.values()]
    return cut > firstCommit && files.some(file => basename(file) === 'data.mdb')
  }
}

/** How often the one journal was written to after the other. */
export function countTurns({ events }: Recording): number {
  const journals = events.flatMap(event =>
    event.type === 'written' && basename(event.file).startsWith('journal') ? [event.file] : [],
  )
  return journals.filter((file, place) => place > 0 && file !== journals[place - 1]).length
}

/** The calls and the names that do not last, with their files. To be asked in order. */
export function openIn({
  events,
}: Pick<Recording, 'events'>): (cut: number) => { files: Map<number, File>; names: Set<string> } {
  const files = new Map<number, File>()
  const names = new Set<string>()
  let place = 0
  return cut => {
    for (; place < cut; place++) {
      const event = events[place]!
      if (event.type === 'written' || event.type === 'sized') files.set(event.call, event.file)
      else if (event.type === 'synced') for (const call of event.calls) files.delete(call)
      else if (event.type === 'named' && event.isLasting) names.delete(event.name)
      else if (event.type === 'named') names.add(event.name)
      else if (event.type === 'restored') {
        files.clear()
        names.clear()
      }
    }
    return { files, names }
  }
}

/** After each change of the disk, and after each answer that no other follows at once: in between nothing is different. */
function cutsOf({ events }: Recording): number[] {
  const cuts: number[] = [0]
  for (const [place, event] of events.entries()) {
    const next = events[place + 1]
    const isAnswer = event.type === 'mark' && event.mark.say !== 'asked'
    const isAnswerNext = next?.type === 'mark' && next.mark.say !== 'asked'
    if (event.type !== 'mark' || (isAnswer && !isAnswerNext)) cuts.push(place + 1)
  }
  return cuts
}
