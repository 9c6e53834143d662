/** What `run` and `elect` share: splitting off the command, and a wait that a signal ends. */
import { constants } from 'node:os'
import { CommandFailure, exitCodes, SIGNAL_BASE } from './exit.ts'

/** What stands after the name, without the `--` that may separate it. */
export function splitCommand(words: readonly string[]): readonly string[] {
  const command = words[0] === '--' ? words.slice(1) : words
  if (command.length === 0) throw new CommandFailure(exitCodes.usage, 'Say what to run: holdfast run NAME -- COMMAND…')
  return command
}

const ENDING = ['SIGINT', 'SIGTERM', 'SIGHUP', 'SIGQUIT'] as const

/** What was granted; or, when a signal came first, the exit code that goes with it. Nothing stays held or queued then. */
export async function acquireUntilSignal<Held>(
  acquire: (signal: AbortSignal) => Promise<Held>,
): Promise<Held | number> {
  const controller = new AbortController()
  let code: number | null = null
  const ends = ENDING.map(signal => {
    const end = () => {
      code ??= SIGNAL_BASE + constants.signals[signal]
      controller.abort()
    }
    process.on(signal, end)
    return () => process.off(signal, end)
  })
  try {
    return await acquire(controller.signal)
  } catch (error) {
    if (code !== null) return code
    throw error
  } finally {
    for (const end of ends) end()
  }
}
