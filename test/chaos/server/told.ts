/** What a server process writes down of itself: one line of JSON for each thing, on the clock that is common to all processes of the machine. */
import { fileURLToPath } from 'node:url'
import type { Told } from '../../checker/promising.ts'
import { linesOf } from '../client/history.ts'
import { sleptSinceBootMs } from '../client/real-time.ts'

const tap = fileURLToPath(new URL('tap.ts', import.meta.url))

/** Of the process that runs at this place, and of those before it. */
export function toldIn(path: string): Told[] {
  return linesOf<Told>(path)
}

/** The environment of a server that is to write down what it promises. */
export function tapped(env: NodeJS.ProcessEnv, path: string): NodeJS.ProcessEnv {
  const options = [process.env.NODE_OPTIONS, env.NODE_OPTIONS, `--import=${tap}`]
  const NODE_OPTIONS = options.filter(one => one !== undefined).join(' ')
  return { ...env, CHAOS_TAP: path, CHAOS_SLEPT_MS: String(sleptSinceBootMs()), NODE_OPTIONS }
}
