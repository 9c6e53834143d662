/** `holdfast whoami`. */
import type { Command } from 'commander'
import { type AccessOptions, withAccess } from '../access.ts'
import { facts, printJson, printLine } from '../output.ts'
import { restOf } from '../rest.ts'

export function define(program: Command): void {
  const command = program
    .command('whoami')
    .summary('whose key this is and what it permits')
    .description('Whose key this is and what it permits.')
    .action(async (options: AccessOptions) => {
      const identity = await restOf(options).whoami()
      if (options.json) return printJson(identity)
      printLine(
        facts([
          ['subject', identity.subject],
          ['instance', identity.instance],
          ['may', identity.actions.join(' ')],
        ]),
      )
    })
  withAccess(command)
}
