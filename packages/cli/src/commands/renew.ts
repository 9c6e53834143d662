/** `holdfast renew NAME LOCK_ID`. */
import type { Command } from 'commander'
import { type AccessOptions, withAccess } from '../access.ts'
import { parseDuration } from '../duration.ts'
import { lockIdOf } from '../lock-id.ts'
import { printJson, printLine } from '../output.ts'
import { lockPath, restOf, wholeSeconds } from '../rest.ts'

export function define(program: Command): void {
  const command = program
    .command('renew')
    .summary('keep an acquired lock for another TTL')
    .description('Keep an acquired lock for another TTL. Exits with 121 when it has been lost.')
    .argument('<name>', 'the lock')
    .argument('<lock_id>', 'what `acquire` printed; - reads it from standard input')
    .option('--ttl <duration>', 'how long it lasts from now (default: as before)', parseDuration)
    .action(async (name: string, lockId: string, options: AccessOptions & { ttl?: number }) => {
      const body = {
        lockId: lockIdOf(lockId),
        ...(options.ttl === undefined ? {} : { ttlSeconds: wholeSeconds(options.ttl) }),
      }
      const renewed = await restOf(options).call<{ expiresAt: string }>('POST', lockPath(name, 'renew'), {
        body,
        lock: name,
      })
      if (options.json) printJson(renewed)
      else printLine(`held until ${renewed.expiresAt}`)
    })
  withAccess(command)
}
