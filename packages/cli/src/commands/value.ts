/** `holdfast value NAME`. */
import type { Command } from 'commander'
import { type AccessOptions, withAccess } from '../access.ts'
import { CommandFailure, exitCodes } from '../exit.ts'
import { printJson, printLine, safeLines } from '../output.ts'
import { restOf } from '../rest.ts'

export function define(program: Command): void {
  const command = program
    .command('value')
    .summary('read the value that a lock carries')
    .description(
      'Read the value that a lock carries: what its leader proclaimed, a cursor, a checkpoint. Only the holder can write it.',
    )
    .argument('<name>', 'the lock')
    .action(async (name: string, options: AccessOptions) => {
      const stored = await restOf(options).value(name)
      if (!stored) throw new CommandFailure(exitCodes.usage, `Lock ${JSON.stringify(name)} has no value.`)
      if (options.json) printJson(stored)
      // Another holder wrote it. A program gets it as it was written.
      else printLine(process.stdout.isTTY ? safeLines(stored.value) : stored.value)
    })
  withAccess(command)
}
