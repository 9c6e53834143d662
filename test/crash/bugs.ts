/** Bugs of the planted table that a power cut must show: the load is recorded with the bug in it, and so is it recovered. */
import { fileURLToPath } from 'node:url'
import { bugs } from '../planted/bugs.ts'
import { type Crashes, crash, loaded } from './run.ts'

/** Each lets something be told, made or overwritten before the disk has it, or reads wrongly what the disk has left. */
export const bugsOfCrashes: readonly string[] = bugs
  .filter(({ id }) => id.endsWith('-at-a-power-cut'))
  .map(({ id }) => id)

const hook = new URL('../planted/plant.ts', import.meta.url).href
const nowhere = process.platform === 'win32' ? 'NUL' : '/dev/null'

/** @throws when the load cannot be recorded with the bug in it. */
export async function crashWith(id: string, { seed, commits, points }: Limits): Promise<Crashes> {
  const env = { PLANTED_BUG: id, PLANTED_MARKER: nowhere, NODE_OPTIONS: `--import ${fileURLToPath(hook)}` }
  const load = await loaded({ seed, commits, env })
  try {
    return await crash(load, { points, seed, isDeaf: false, isFirstEnough: true, env })
  } finally {
    load.remove()
  }
}

type Limits = { seed: number; commits: number; points: number }
