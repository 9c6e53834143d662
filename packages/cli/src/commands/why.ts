/** `holdfast why NAME`. */
import type { Command } from 'commander'
import { type AccessOptions, withAccess } from '../access.ts'
import { whyText } from '../describe.ts'
import { printJson, printLine } from '../output.ts'
import { restOf } from '../rest.ts'

export function define(program: Command): void {
  const command = program
    .command('why')
    .summary('why is a lock not free: who holds it, who waits')
    .description('Why is a lock not free: who holds it and since when, who waits in what order, what keeps it back.')
    .argument('<name>', 'the lock')
    .action(async (name: string, options: AccessOptions) => {
      const queue = await restOf(options).queue(name)
      if (options.json) printJson(queue)
      else printLine(whyText(queue))
    })
  withAccess(command)
}
