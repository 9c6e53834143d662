/** `holdfast history NAME`. */
import type { LockEvent } from '@holdfast/client'
import type { Command } from 'commander'
import { type AccessOptions, withAccess } from '../access.ts'
import { eventLine } from '../describe.ts'
import { parseCount } from '../duration.ts'
import { note, printJson, printLine } from '../output.ts'
import { restOf } from '../rest.ts'

const EVENTS_DEFAULT = 50

export function define(program: Command): void {
  const command = program
    .command('history')
    .summary('what has happened to a lock')
    .description('What has happened to a lock, newest first, as far as it is kept.')
    .argument('<name>', 'the lock')
    .option('--limit <n>', 'how many events', parseCount, EVENTS_DEFAULT)
    .action(async (name: string, options: AccessOptions & { limit: number }) => {
      const events: LockEvent[] = []
      for await (const event of restOf(options).history(name, { limit: options.limit })) events.push(event)
      if (options.json) return printJson({ events })
      if (events.length === 0) note('nothing is known of it')
      for (const event of events) printLine(eventLine(event))
    })
  withAccess(command)
}
