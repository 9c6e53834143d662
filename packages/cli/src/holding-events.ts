/**
 * What becomes of the lock while a command runs under it. Standard output is the command's own; so for programs (`--json`) each event is one JSON
 * object on a line of standard error, and people hear only of what they could not expect.
 */
import { note, noteJson } from './output.ts'

export type HoldingEvent =
  | { event: 'waiting'; lock: string; position: number }
  | { event: 'acquired'; lock: string; token: number; mode: string; waitedMs: number; validForMs: number }
  /** The command is told to stop. */
  | { event: 'stopping'; lock: string; token: number; reason: 'lost' | 'preempted'; message: string }
  /** The command is out of reach: it is waited for, however long it takes. */
  | { event: 'warning'; lock: string; token: number; message: string }
  /** The command and all that it has started are gone; if the lock is not lost, it is released now. */
  | { event: 'ended'; lock: string; token: number; reason: 'done' | 'lost' | 'preempted'; exitCode: number }

export type Tell = (event: HoldingEvent) => void

export function tellOf({ json }: { json?: boolean }): Tell {
  if (json) return noteJson
  return event => {
    if (event.event === 'warning') note(event.message)
    if (event.event === 'stopping') note(`stopping the command: ${event.message}`)
  }
}
