/** `holdfast freeze PREFIX --until TIME --reason WHY`. */
import { type Command, InvalidArgumentError } from 'commander'
import { type AccessOptions, withAccess } from '../access.ts'
import { wallMs } from '../clock.ts'
import { parseDuration } from '../duration.ts'
import { note, printJson } from '../output.ts'
import { restOf } from '../rest.ts'
import { timeOf } from '../time.ts'

type Options = AccessOptions & { reason: string; until: Date }

export function define(program: Command): void {
  const command = program
    .command('freeze')
    .summary('let nobody acquire locks under a prefix')
    .description('Let nobody acquire locks whose name begins with the prefix until a time. Who holds one, holds on.')
    .argument('<prefix>', 'what the names begin with')
    .requiredOption('--until <time>', 'a time like 2027-01-02T08:00:00Z, or how long, like 2h', parseUntil)
    .requiredOption('--reason <text>', 'why; whoever is kept out is told')
    .action(async (prefix: string, options: Options) => {
      const freeze = await restOf(options).freeze(prefix, { until: options.until, reason: options.reason })
      if (options.json) printJson(freeze)
      else note(`frozen until ${freeze.until}`)
    })
  withAccess(command)
}

function parseUntil(text: string): Date {
  if (/^\d+(\.\d+)?[a-z]+$/.test(text)) return new Date(wallMs() + parseDuration(text))
  const until = timeOf(text)
  if (!until) throw new InvalidArgumentError('Say a time like 2027-01-02T08:00:00Z, or how long, like 2h.')
  return until
}
