/** `holdfast preempt NAME --reason WHY`. */
import type { Command } from 'commander'
import { type AccessOptions, withAccess } from '../access.ts'
import { parseDuration, parseToken } from '../duration.ts'
import { note, printJson, safe } from '../output.ts'
import { restOf } from '../rest.ts'

type Options = AccessOptions & { reason: string; grace?: number; token?: number }

export function define(program: Command): void {
  const command = program
    .command('preempt')
    .summary('tell the holders to clean up and go')
    .description('Tell the holders to clean up and go; after the grace their grants end.')
    .argument('<name>', 'the lock')
    .requiredOption('--reason <text>', 'why; it is recorded and told to the holder')
    .option('--grace <duration>', 'how long they may clean up, like 30s', parseDuration)
    .option('--token <token>', 'only the grant with this token', parseToken)
    .action(async (name: string, options: Options) => {
      const { reason, grace, token } = options
      const told = await restOf(options).preempt(name, {
        reason,
        ...(grace === undefined ? {} : { graceMs: grace }),
        ...(token === undefined ? {} : { token }),
      })
      if (options.json) return printJson(told)
      for (const grant of told.ended) note(`told ${safe(grant.holder)} (token ${grant.token}) to go`)
      if (told.left) note(`${told.left} more are being told`)
      if (told.ended.length === 0) note('nobody held it')
    })
  withAccess(command)
}
