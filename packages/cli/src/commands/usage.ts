/** `holdfast usage`: what an instance has used, and what that costs. */
import { type Command, Option } from 'commander'
import { type AccessOptions, withAccess } from '../access.ts'
import { instanceOf, reclaimedInstances } from '../administration/instances.ts'
import { recordsOf, type Usage } from '../administration/usage-records.ts'
import { printJson, printLine, table } from '../output.ts'
import { restOf } from '../rest.ts'
import { parseTime } from '../time.ts'

type Options = AccessOptions & { from?: string; to?: string; by?: string; export?: 'ibm'; reclaimed?: string }

export function define(program: Command): void {
  const command = program
    .command('usage')
    .summary('what an instance has used, and what that costs')
    .description(
      'What an instance has used, by the hour, day or month (UTC); what this month has cost so far and will have cost.',
    )
    .option(
      '--from <time>',
      'since when, like 2027-01-01 or 2027-01-01T06:00:00Z (default: the beginning of the month)',
      parseTime,
    )
    .option('--to <time>', 'until when (default: now)', parseTime)
    .addOption(new Option('--by <period>', 'how long a row is').choices(['hour', 'day', 'month']).default('day'))
    .option('--reclaimed <instance>', 'of one that is gone for good, by id or name; for whoever runs the service')
    .addOption(new Option('--export <format>', 'print records for a metering service').choices(['ibm']))
    .action(usage)
  withAccess(command)
}

async function usage(options: Options): Promise<void> {
  const query = new URLSearchParams({ by: options.export ? 'hour' : (options.by ?? 'day') })
  if (options.from !== undefined) query.set('from', options.from)
  if (options.to !== undefined) query.set('to', options.to)
  const rest = restOf(options)
  if (options.reclaimed !== undefined)
    query.set('instance', instanceOf(await reclaimedInstances(rest), options.reclaimed).id)
  const found = await rest.call<Usage>('GET', `/v2/usage?${query}`)
  if (options.export) return printLine(JSON.stringify(recordsOf(found), null, 2))
  if (options.json) return printJson(found)
  const rows = found.usage.map(({ start, capacityUnitHours, costUsd, operations }) => [
    start.slice(0, options.by === 'hour' ? 16 : 10),
    shown(capacityUnitHours),
    `$${costUsd.toFixed(2)}`,
    String(operations.granted ?? 0),
    String(operations.queued ?? 0),
    String(operations.expired ?? 0),
  ])
  printLine(table(['FROM', 'UNIT HOURS', 'COST', 'GRANTED', 'WAITED', 'EXPIRED'], rows))
  const { month } = found
  printLine(
    `\n${month.start.slice(0, 7)} on the plan ${found.plan}: $${month.costUsd.toFixed(2)} so far, $${month.forecastUsd.toFixed(2)} by its end if nothing is changed`,
  )
}

function shown(unitHours: number): string {
  return Number(unitHours.toFixed(2)).toString()
}
