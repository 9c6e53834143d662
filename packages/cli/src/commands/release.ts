/** `holdfast release NAME LOCK_ID`. */
import type { Command } from 'commander'
import { type AccessOptions, withAccess } from '../access.ts'
import { callWithLockId, lockIdOf } from '../lock-id.ts'
import { printJson } from '../output.ts'
import { restOf } from '../rest.ts'

export function define(program: Command): void {
  const command = program
    .command('release')
    .summary('release an acquired lock')
    .description('Release an acquired lock. Exits with 121 when it had been lost before.')
    .argument('<name>', 'the lock')
    .argument('<lock_id>', 'what `acquire` printed; - reads it from standard input')
    .action(async (name: string, lockId: string, options: AccessOptions) => {
      const body = { lockId: lockIdOf(lockId) }
      const released = await callWithLockId(restOf(options), { name, verb: 'release', body })
      if (options.json) printJson(released)
    })
  withAccess(command)
}
