/**
 * What becomes of the lock while a command runs under it. Standard output is the command's own; so for programs (`--json`) each event is one JSON
 * object on a line of standard error, and people hear only of what they could not expect.
 */
import { Aside } from './aside.ts'
import { jsonLine, noteLine } from './output.ts'

export type HoldingEvent =
  | { event: 'waiting'; lock: string; position: number }
  | { event: 'acquired'; lock: string; token: number; mode: string; waitedMs: number; validForMs: number }
  /** The command is not run: this slot of it, or a later one, has been. */
  | { event: 'finished'; lock: string; token: number; slot: string; message: string }
  /** The command is told to stop. */
  | { event: 'stopping'; lock: string; token: number; reason: 'lost' | 'preempted'; message: string }
  /** The command is out of reach: it is waited for, however long it takes. */
  | { event: 'warning'; lock: string; token: number; message: string }
  /** The command and all that it has started are gone; if the lock is not lost, it is released now. */
  | { event: 'ended'; lock: string; token: number; reason: 'done' | 'lost' | 'preempted'; exitCode: number }

export type Tell = (event: HoldingEvent) => void

/** Work that tells of itself while a lock is held: it never waits for whoever reads that, and the end only for a moment. */
export async function telling<Result>(
  options: { json?: boolean },
  work: (tell: Tell) => Promise<Result>,
): Promise<Result> {
  const aside = new Aside()
  try {
    return await work(tellOf(options, line => aside.say(line)))
  } finally {
    await aside.flushed()
  }
}

export function tellOf({ json }: { json?: boolean }, say: (line: string) => void): Tell {
  if (json) return event => say(jsonLine(event))
  return event => {
    if (event.event === 'warning' || event.event === 'finished') say(noteLine(event.message))
    if (event.event === 'stopping') say(noteLine(`stopping the command: ${event.message}`))
  }
}
