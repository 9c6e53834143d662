/**
 * What is kept of a load: every write and sync of the data file in the order in which the kernel was asked and answered, what the clients
 * asked and were told in the same order, and each commit that was handed to the store.
 */
import { readFileSync, writeFileSync } from 'node:fs'
import { deserialize, serialize } from 'node:v8'
import type { Write } from '../../packages/server/src/engine/engine.ts'

/** What a client asked, or what it was told. `number` joins the two. */
export type Mark =
  | { say: 'asked'; number: number; what: 'open' }
  | { say: 'asked'; number: number; what: 'close'; session: string }
  | { say: 'asked'; number: number; what: 'acquire'; session: string; lock: string }
  | { say: 'asked'; number: number; what: 'release'; session: string; lock: string; token: number }
  | { say: 'told'; number: number; session?: string; token?: number }
  /** The store has answered a commit: it is at this revision. */
  | { say: 'durable'; revision: number }

/** One page of a write, as large as the disk is asked to take at once. All pages of one call have its number. */
export type Written = { type: 'written'; call: number; offset: number; bytes: Uint8Array }

export type Event =
  | Written
  /** The file was made as long as this. */
  | { type: 'sized'; call: number; length: number }
  /** The disk has said that it keeps these calls, and had not said so before. */
  | { type: 'synced'; calls: number[] }
  /** The file has its name, or the disk has said that it keeps that too. */
  | { type: 'named'; isLasting: boolean }
  | { type: 'mark'; mark: Mark }

export type Recording = {
  events: Event[]
  /** Of the commit that made the revision: place 1 is that of the empty store, and has none. */
  commits: Write[][]
  /** The file of LMDB in which readers stand, as the last life has left it. */
  readers: Uint8Array
  /** How often the process was killed and started again. */
  restarts: number
}

export function save(path: string, recording: Recording): void {
  writeFileSync(path, serialize(recording))
}

export function load(path: string): Recording {
  return deserialize(readFileSync(path)) as Recording // what `save` has written
}
