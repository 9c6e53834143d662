/** `holdfast renew NAME LOCK_ID`. */
import type { Command } from 'commander'
import { type AccessOptions, withAccess } from '../access.ts'
import { parseSeconds } from '../duration.ts'
import { callWithLockId, lockIdOf } from '../lock-id.ts'
import { printJson, printLine } from '../output.ts'
import { restOf } from '../rest.ts'

export function define(program: Command): void {
  const command = program
    .command('renew')
    .summary('keep an acquired lock for another TTL')
    .description('Keep an acquired lock for another TTL. Exits with 121 when it has been lost.')
    .argument('<name>', 'the lock')
    .argument('<lock_id>', 'what `acquire` printed; - reads it from standard input')
    .option('--ttl <duration>', 'how long it lasts from now (default: as before)', parseSeconds)
    .action(async (name: string, lockId: string, options: AccessOptions & { ttl?: number }) => {
      const body = {
        lockId: lockIdOf(lockId),
        ...(options.ttl === undefined ? {} : { ttlSeconds: options.ttl }),
      }
      const asked = { name, verb: 'renew' as const, body }
      const renewed = await callWithLockId<{ expiresAt: string }>(restOf(options), asked)
      if (options.json) printJson(renewed)
      else printLine(`held until ${renewed.expiresAt}`)
    })
  withAccess(command)
}
