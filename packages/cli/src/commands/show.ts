/** `holdfast show NAME`. */
import type { Command } from 'commander'
import { type AccessOptions, withAccess } from '../access.ts'
import { lockText } from '../describe.ts'
import { printJson, printLine } from '../output.ts'
import { restOf } from '../rest.ts'

export function define(program: Command): void {
  const command = program
    .command('show')
    .summary('look at a lock')
    .description('Look at a lock: its state, its holders, its configuration.')
    .argument('<name>', 'the lock')
    .action(async (name: string, options: AccessOptions) => {
      const lock = await restOf(options).show(name)
      if (options.json) printJson(lock)
      else printLine(lockText(lock))
    })
  withAccess(command)
}
