/** What is in the history of a client process: one line of JSON for each thing that happens, written at once, so that it outlives a kill −9. */
import { openSync, readFileSync, writeSync } from 'node:fs'
import type { Deed } from '../../checker/lock-model.ts'
import type { Item } from '../../checker/watching.ts'

/** `t`: ms on the clock that is common to all processes of the machine. */
export type Line = {
  t: number
} /** A lock is held and believed in from now on. `until`: by a limit of its own, if it has one. */ & (
  | {
      e: 'grant'
      lock: string
      token: number
      mode: 'exclusive' | 'shared' | 'permits'
      slots: number[]
      by: string
      limit: number | null
    }
  /** It is believed in no longer than this. */
  | { e: 'limit'; by: string; lock: string; token: number; until: number }
  /** It is no longer believed in. */
  | { e: 'over'; lock: string; token: number; by: string }
  /** All that this session holds is believed in until then, if nothing else is said. */
  | { e: 'until'; by: string; until: number }
  | { e: 'released'; lock: string; token: number }
  | { e: 'refused'; operation: number }
  | { e: 'call'; n: number; lock: string; deed: Deed }
  | { e: 'return'; n: number; deed: Deed }
  /** Somebody watches from now on: it must come to read something. */
  | { e: 'watches'; watcher: string }
  | { e: 'seen'; watcher: string; item: Item }
  /** A lock of a session that nobody renews; `t` is before the request was sent. */
  | { e: 'idle'; lock: string; token: number; ttlMs: number }
  | { e: 'counts'; counts: Record<string, number> }
  | { e: 'wrong'; what: string }
  | { e: 'left' }
)

/** `Omit` of a union keeps no union. */
export type Told = Line extends infer One ? (One extends Line ? Omit<One, 't'> & { t?: number } : never) : never

export class History {
  readonly #file: number
  readonly #nowMs: () => number
  readonly #grainMs: number

  /** `grainMs`: the clock may be so much behind. */
  constructor(path: string, { nowMs, grainMs }: { nowMs: () => number; grainMs: number }) {
    this.#file = openSync(path, 'a')
    this.#nowMs = nowMs
    this.#grainMs = grainMs
  }

  nowMs(): number {
    return this.#nowMs()
  }

  /** In doubt what begins is early and what ends is late, but for belief, where it is the other way round: nothing is accused by a coarse clock. */
  tell(line: Told): void {
    const isLater = line.e === 'return' || line.e === 'grant'
    writeSync(this.#file, `${JSON.stringify({ t: this.#nowMs() + (isLater ? this.#grainMs : 0), ...line })}\n`)
  }
}

/** A process that was killed may have left half a line. */
export function linesOf<Of>(path: string): Of[] {
  const lines: Of[] = []
  for (const text of readFileSync(path, 'utf8').split('\n')) {
    if (!text.endsWith('}')) continue
    try {
      lines.push(JSON.parse(text) as Of) // as it was written, by this program
    } catch {
      // Cut in the middle.
    }
  }
  return lines
}
