/** `holdfast queue NAME`. */
import type { Command } from 'commander'
import { type AccessOptions, withAccess } from '../access.ts'
import { waitersTable } from '../describe.ts'
import { note, printJson, printLine } from '../output.ts'
import { restOf } from '../rest.ts'

export function define(program: Command): void {
  const command = program
    .command('queue')
    .summary('who waits for a lock, in order')
    .description('Who waits for a lock, in order.')
    .argument('<name>', 'the lock')
    .action(async (name: string, options: AccessOptions) => {
      const { waiters } = await restOf(options).queue(name)
      if (options.json) return printJson({ waiters })
      if (waiters.length > 0) printLine(waitersTable(waiters))
      else note('nobody waits for it')
    })
  withAccess(command)
}
