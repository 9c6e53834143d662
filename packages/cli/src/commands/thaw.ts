/** `holdfast thaw PREFIX`. */
import type { Command } from 'commander'
import { type AccessOptions, withAccess } from '../access.ts'
import { restOf } from '../rest.ts'

export function define(program: Command): void {
  const command = program
    .command('thaw')
    .summary('lift a freeze')
    .description('Lift a freeze.')
    .argument('<prefix>', 'as it was frozen')
    .action(async (prefix: string, options: AccessOptions) => {
      await restOf(options).thaw(prefix)
    })
  withAccess(command)
}
