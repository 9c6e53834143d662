/** `holdfast list`. */
import type { LockView } from '@holdfast/client'
import type { Command } from 'commander'
import { type AccessOptions, withAccess } from '../access.ts'
import { lockTable } from '../describe.ts'
import { note, printJson, printLine } from '../output.ts'
import { restOf } from '../rest.ts'

export function define(program: Command): void {
  const command = program
    .command('list')
    .summary('list the locks that are configured or in use')
    .description('List the locks that are configured or in use, by name.')
    .argument('[prefix]', 'only those whose name begins so')
    .action(async (prefix: string | undefined, options: AccessOptions) => {
      const locks: LockView[] = []
      for await (const lock of restOf(options).list(prefix === undefined ? {} : { prefix })) locks.push(lock)
      if (options.json) return printJson({ locks })
      if (locks.length > 0) printLine(lockTable(locks))
      else note('no locks are configured or in use')
    })
  withAccess(command)
}
