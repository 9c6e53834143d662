/**
 * Walks a small world in every order in which its steps can come, depth first. Real code cannot be copied in the middle of what it does, so a state
 * is named by the steps that lead to it and is reached again by taking them anew; a world must therefore do the same each time.
 *
 * A state that was seen before, with as many steps left, is not walked again. What a state is, the world says: two that it calls the same must
 * behave the same from there on. The set holds digests of 53 bits; two states that share one by chance would hide one of them.
 */
import { createHash } from 'node:crypto'

export interface Steps {
  /** What can happen now. Empty: nothing more. */
  steps(): string[]
  /** Takes one of these steps, and everything that follows from it without another. Throws a `Violation`. */
  take(step: string): void | Promise<void>
  /** All that what is to come depends on. */
  state(): string
}

export type Limits = { depthMax: number; statesMax: number; secondsMax: number }

export type Walk = {
  states: number
  transitions: number
  depth: number
  runs: number
  seconds: number
  /** Nothing within the depth was left out. */
  isComplete: boolean
  violation: { path: string[]; error: Error } | null
}

/** Keeps the walk from filling the set of the platform, which ends at 2^24. */
export const STATES_MAX = 16_000_000

export async function explore(make: () => Steps | Promise<Steps>, limits: Limits): Promise<Walk> {
  const startedMs = performance.now()
  const seconds = () => (performance.now() - startedMs) / 1_000
  /** By digest: how many steps were left when it was walked. */
  const seen = new Map<number, number>()
  const walk: Walk = { states: 0, transitions: 0, depth: 0, runs: 0, seconds: 0, isComplete: true, violation: null }
  const open: string[][] = [[]]
  for (let path = open.pop(); path; path = open.pop()) {
    if (walk.states >= Math.min(limits.statesMax, STATES_MAX) || seconds() > limits.secondsMax) {
      walk.isComplete = false
      break
    }
    walk.runs++
    const taken: string[] = []
    try {
      const world = await make()
      for (const step of path) {
        taken.push(step)
        await world.take(step)
      }
      if (path.length > 0) walk.transitions++
      await goOn(world, taken)
    } catch (error) {
      walk.violation = { path: taken, error: error instanceof Error ? error : new Error(String(error)) }
      break
    }
  }
  walk.seconds = seconds()
  return walk

  /** From here on forward, by the first step each time; the others are for later. */
  async function goOn(world: Steps, path: string[]): Promise<void> {
    for (;;) {
      walk.depth = Math.max(walk.depth, path.length)
      const left = limits.depthMax - path.length
      const digest = digestOf(world.state())
      const before = seen.get(digest)
      if (before !== undefined && before >= left) return
      if (before === undefined) walk.states++
      seen.set(digest, left)
      const [first, ...others] = world.steps()
      if (first === undefined) return
      if (left === 0) {
        walk.isComplete = false
        return
      }
      for (const other of others.reverse()) open.push([...path, other])
      path.push(first)
      walk.transitions++
      await world.take(first)
    }
  }
}

function digestOf(state: string): number {
  const bytes = createHash('sha256').update(state).digest()
  return bytes.readUIntBE(0, 6) * 32 + (bytes[6] ?? 0) / 8
}
