/** `holdfast freezes`. */
import type { Command } from 'commander'
import { type AccessOptions, withAccess } from '../access.ts'
import { note, printJson, printLine, safe, table } from '../output.ts'
import { restOf } from '../rest.ts'

export function define(program: Command): void {
  const command = program
    .command('freezes')
    .summary('list the freezes in force')
    .description('List the freezes in force: under which names nobody acquires, until when, by whom and why.')
    .action(async (options: AccessOptions) => {
      const freezes = await restOf(options).freezes()
      if (options.json) return printJson({ freezes })
      if (freezes.length === 0) return note('nothing is frozen')
      const rows = freezes.map(({ prefix, until, by, reason }) => [safe(prefix), until, safe(by), safe(reason)])
      printLine(table(['PREFIX', 'UNTIL', 'BY', 'WHY'], rows))
    })
  withAccess(command)
}
