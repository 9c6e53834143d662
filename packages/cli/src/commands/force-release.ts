/** `holdfast force-release NAME --reason WHY`. */
import type { Command } from 'commander'
import { type AccessOptions, withAccess } from '../access.ts'
import { parseToken } from '../duration.ts'
import { note, printJson, safe } from '../output.ts'
import { restOf } from '../rest.ts'

type Options = AccessOptions & { reason: string; token?: number; now?: boolean }

export function define(program: Command): void {
  const command = program
    .command('force-release')
    .summary('end the grants of others')
    .description(
      'End the grants of others. Who holds is told at once; the next in line gets the lock when the holder has stopped, or its last promise has run out.',
    )
    .argument('<name>', 'the lock')
    .requiredOption('--reason <text>', 'why; it is recorded and told to the holder')
    .option('--token <token>', 'only the grant with this token', parseToken)
    .option('--now', 'do not wait: the old holder may still believe that it holds the lock')
    .action(async (name: string, options: Options) => {
      const { reason, token, now } = options
      const ended = await restOf(options).forceRelease(name, {
        reason,
        ...(token === undefined ? {} : { token }),
        ...(now ? { now } : {}),
      })
      if (options.json) return printJson(ended)
      for (const grant of ended.ended) note(`ended the grant of ${safe(grant.holder)} (token ${grant.token})`)
      if (ended.left) note(`${ended.left} more are being ended; \`holdfast show\` says who still holds it`)
      if (ended.ended.length === 0) note('nobody held it')
    })
  withAccess(command)
}
