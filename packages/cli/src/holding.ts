/** What `run` and `elect` share: telling the command from our options, and a wait that people can see and a signal ends. */
import { constants } from 'node:os'
import type { AcquireOptions } from '@holdfast/client'
import type { Command } from 'commander'
import { SIGNAL_BASE } from './exit.ts'
import type { WaitNotice } from './wait-notice.ts'

/**
 * Puts the `--` in that may be left out before a command, so that nothing of the command is taken for an option of ours. Ours stand before
 * the lock's name or right after it; the command begins with the first word that is neither, and all that follows is its own.
 */
export function separateCommand(verb: Command, args: readonly string[]): string[] {
  const takesValue = new Set(verb.options.filter(option => option.required).flatMap(({ long, short }) => [long, short]))
  let isNamed = false
  for (let index = 0; index < args.length; index++) {
    const word = args[index]!
    if (word === '--') break
    if (word.startsWith('-') && word !== '-') {
      if (takesValue.has(word)) index++
    } else if (isNamed) return [...args.slice(0, index), '--', ...args.slice(index)]
    else isNamed = true
  }
  return [...args]
}

const ENDING = ['SIGINT', 'SIGTERM', 'SIGHUP', 'SIGQUIT'] as const

/** What was granted; or, when a signal came first, the exit code that goes with it. Nothing stays held or queued then. */
export async function acquireUntilSignal<Held>(
  notice: WaitNotice,
  acquire: (asked: Required<Pick<AcquireOptions, 'signal' | 'onQueued'>>) => Promise<Held>,
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
    return await acquire({ signal: controller.signal, onQueued: place => notice.queued(place) })
  } catch (error) {
    if (code !== null) return code
    throw error
  } finally {
    notice.end()
    for (const end of ends) end()
  }
}
