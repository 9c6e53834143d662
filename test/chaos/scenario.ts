/** What a scenario is: a row of the table in docs/chaos.md, and what is done to the rig meanwhile. */
import type { Result } from './result.ts'
import type { Rig, RigOptions } from './rig.ts'

export type PlayOptions = { folder: string; seed: number; seconds: number; tell(what: string): void }

export type Played = {
  violations: { invariant: string; what: string }[]
  counts: Record<string, number>
  faults: Record<string, number>
  refused: number
  nextGrantMs: number[]
  details: Record<string, number>
}

export type Scenario = {
  /** As in VERIFICATION section 8; `5b` and the like are its parts. */
  id: string
  name: string
  does: string
  expects: string
  /** Nothing is done to it: elsewhere a run without a fault shows nothing. */
  isFaultless?: true
  /** Operations of unknown outcome, where what is done leaves none of them in doubt. Default: any number. */
  unknownMax?: number
  /** What a server says that may end by itself in it. Default: none may. */
  ends?: RegExp
  /** What the machine must have; a reason when it does not. */
  needs?(): string | null
  rig?: Partial<RigOptions>
  /** From strike (or from the end of the fault, where nothing can be served during it) to the next grant, at most. */
  boundMs?: number
  /** Invariants that rest on what is assumed of clocks and pauses, where that does not hold: violations are counted, and published. */
  counted?: readonly string[]
  /** Strikes until `rig.isOver`; all faults are healed when it returns. */
  strike(rig: Rig): Promise<void>
  /** One that has a rig of its own. */
  play?(options: PlayOptions): Promise<Played>
  /** After the run has been judged: what else must be true. Throws a `Violation`. */
  verify?(rig: Rig, result: Result): void | Promise<void>
}

/** Clients that write so much that the log is cleaned while they do. */
export const muchWritten = { coldPaceMs: 30, coldLocks: 50, coldValueChars: 16_000 }
