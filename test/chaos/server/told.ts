/** What a server process writes down of itself: one line of JSON for each thing, on the clock that is common to all processes of the machine. */

import { fileURLToPath } from 'node:url'
import { linesOf } from '../client/history.ts'
import { sleptSinceBootMs } from '../client/real-time.ts'

const tap = fileURLToPath(new URL('tap.ts', import.meta.url))

export type Told = {
  t: number
} /** A process begins; those before it on the same data are gone. */ & (
  | { e: 'start'; pid: number }
  /** Its member record is in the store as it was sent at `from`, or rather a little later. */
  | { e: 'beat'; from: number }
  /** The owner record of a shard is as this process wrote it; or, where `server` is empty, it begins to give the shard up. */
  | { e: 'owner'; shard: number; server: string; epoch: number; from: number }
  /** The first batch that it hands to the store after it has taken a shard: it has read the log up to the one before. */
  | { e: 'opened'; shard: number; epoch: number; seq: number }
  /** What was asked in a turn was answered. `at`: when it had been received and was about to be decided. */
  | { e: 'answered'; shard: number; epoch: number; seq: number; asked: number; isLogged: boolean; at: number }
  /** A commit that touches a log is handed to the store: the batch that it appends, by its hash, and what it deletes. Whether it came to be, the log says. */
  | { e: 'log'; shard: number; appended: { seq: number; hash: string } | null; deleted: { from: string; to: string }[] }
)

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
