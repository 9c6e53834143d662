/** Tries the mutants of a room, or a draw of them, and counts. */
import { globSync, readFileSync } from 'node:fs'
import { availableParallelism } from 'node:os'
import { join } from 'node:path'
import { chanceOf } from '../simulator/chance.ts'
import { isEquivalent } from './equivalent.ts'
import { type Mutant, mutantsOf } from './mutants.ts'
import type { Room } from './rooms.ts'
import { type Fate, Lane, root } from './try.ts'

export type Tried = { mutant: Mutant; fate: Fate }

export type MutationOptions = {
  /** So many, drawn; null: all. */
  sample: number | null
  seed: number
  /** Only files whose path contains it. */
  filter?: string
  workers?: number
  tried?(one: Tried, done: number, of: number): void
}

/** Of the room, without those that were looked at and found to change nothing. */
export function mutantsIn(room: Room, filter = ''): { mutants: Mutant[]; equivalent: number } {
  const files = globSync(room.files, { cwd: root })
    .filter(file => !/\.test\.ts$|\/testing\.ts$/.test(file) && !room.without.includes(file) && file.includes(filter))
    .sort()
  let equivalent = 0
  const mutants = files.flatMap(file => {
    const source = readFileSync(join(root, file), 'utf8')
    const lines = source.split('\n')
    const all = mutantsOf(file, source)
    const kept = all.filter(mutant => !isEquivalent(mutant, lines))
    equivalent += all.length - kept.length
    return kept
  })
  return { mutants, equivalent }
}

/** @throws when the tests fail without any mutant: then nothing could be said. */
export async function mutate(room: Room, options: MutationOptions): Promise<Tried[]> {
  const { sample, seed, filter, workers = availableParallelism(), tried } = options
  const { mutants } = mutantsIn(room, filter)
  await greenWithout(room)
  const chance = chanceOf(seed, room.name)
  const keys = new Map(mutants.map(mutant => [mutant, chance.fraction()]))
  const drawn = mutants.toSorted((one, other) => keys.get(one)! - keys.get(other)!).slice(0, sample ?? mutants.length)
  const left = [...drawn]
  const done: Tried[] = []
  const work = async () => {
    const lane = new Lane(room.rounds)
    try {
      for (let mutant = left.shift(); mutant; mutant = left.shift()) {
        const one = { mutant, ...(await lane.fateOf(mutant)) }
        done.push(one)
        tried?.(one, done.length, drawn.length)
      }
    } finally {
      lane.stop()
    }
  }
  await Promise.all(Array.from({ length: workers }, work))
  return done
}

async function greenWithout(room: Room): Promise<void> {
  const lane = new Lane(room.rounds)
  try {
    const { fate, by } = await lane.fateOf(null)
    if (fate !== 'survived') throw new Error(`the tests of ${room.name} are ${fate} as they are: ${by}`)
  } finally {
    lane.stop()
  }
}

export function isKilled({ fate }: Tried): boolean {
  return fate === 'killed' || fate === 'late'
}
