/**
 * What is kept of a load: every write and sync of the files of the store in the order in which the kernel was asked and answered, what the
 * clients asked and were told in the same order, and each commit that was handed to the store.
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

/**
 * A file, by the path in the store's folder that it was made under. It keeps that when it gets another name, as a folder may call it
 * something else after a power cut than before.
 */
export type File = string

/** Some pages of a write. All that are of one call have its number. */
export type Written = { type: 'written'; file: File; call: number; offset: number; bytes: Uint8Array }

/** The file was made as long as this; `isGrown`: unless it was longer. */
export type Sized = { type: 'sized'; file: File; call: number; length: number; isGrown: boolean }

export type Event =
  | Written
  | Sized
  /** The disk has said that it keeps these calls, and had not said so before. */
  | { type: 'synced'; file: File; calls: number[] }
  /** The folder has the file under this name (null: no file), or the disk has said that it keeps that too. */
  | { type: 'named'; name: string; file: File | null; isLasting: boolean }
  /** The power went, and came back: this is what the disk had, and all that there is. */
  | { type: 'restored'; files: Map<File, { name: string; bytes: Uint8Array }> }
  | { type: 'mark'; mark: Mark }

export type Recording = {
  events: readonly Event[]
  /**
   * Until the first power cut of the load, and since each: of the commit that made the revision; place 1 is that of the empty store, and has none. What
   * was lost, for nobody had been told of it, has others in its place afterwards.
   */
  commits: Write[][][]
  /** The file of LMDB in which readers stand, as the last life has left it. */
  readers: Uint8Array
  /** How often the process was killed and started again, the power cuts among them. */
  restarts: number
  /** Why the load could not go on after a start, or went on from what was not so; null: it went on as it should. */
  failure: string | null
}

export function save(path: string, recording: Recording): void {
  writeFileSync(path, serialize(recording))
}

export function load(path: string): Recording {
  return deserialize(readFileSync(path)) as Recording // what `save` has written
}
