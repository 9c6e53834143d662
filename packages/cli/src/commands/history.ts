/** `holdfast history NAME`. */
import type { LockEvent } from '@holdfast/client'
import type { Command } from 'commander'
import { type AccessOptions, withAccess } from '../access.ts'
import { eventLine } from '../describe.ts'
import { formatDuration, parseCount } from '../duration.ts'
import { note, printJson, printLine, safe } from '../output.ts'
import { restOf } from '../rest.ts'
import { parseTime } from './audit.ts'

const EVENTS_DEFAULT = 50

type Options = AccessOptions & { limit: number; at?: string }
type Holder = {
  token: number
  mode: string
  holder: string
  since: string
  until?: string
  heldMs?: number
  ended?: string
  reason?: string
}
type Held = { holders: Holder[]; waiters: { holder: string; since: string }[]; isComplete: boolean }

export function define(program: Command): void {
  const command = program
    .command('history')
    .summary('what has happened to a lock')
    .description('What has happened to a lock, newest first, as far as it is kept; or who held it at some time.')
    .argument('<name>', 'the lock')
    .option('--limit <n>', 'how many events', parseCount, EVENTS_DEFAULT)
    .option(
      '--at <time>',
      'who held it then, for how long, who waited, how it ended; like 2026-11-21T06:00:00Z',
      parseTime,
    )
    .action((name: string, options: Options) =>
      options.at === undefined ? history(name, options) : heldAt(name, options),
    )
  withAccess(command)
}

async function history(name: string, options: Options): Promise<void> {
  const events: LockEvent[] = []
  for await (const event of restOf(options).history(name, { limit: options.limit })) events.push(event)
  if (options.json) return printJson({ events })
  if (events.length === 0) note('nothing is known of it')
  for (const event of events) printLine(eventLine(event))
}

async function heldAt(name: string, options: Options): Promise<void> {
  const path = `/v2/locks/${encodeURIComponent(name)}/held`
  const held: Held = await restOf(options).call('GET', path, {
    query: { at: options.at },
    patience: PATIENCE_MS,
    lock: name,
  })
  if (options.json) return printJson(held)
  if (held.holders.length === 0) printLine('nobody held it')
  for (const holder of held.holders) printLine(holderLine(holder))
  for (const { holder, since } of held.waiters) printLine(`${safe(holder)} waited for it, since ${since}`)
  if (!held.isComplete) note('there was more to look through than one request may: this may not be all')
}

/** It looks through the log and its archive. */
const PATIENCE_MS = 60_000

function holderLine({ token, mode, holder, since, until, heldMs, ended, reason }: Holder): string {
  const how =
    ended === undefined ? '' : ` (${ended}${reason === undefined || reason === ended ? '' : `: ${safe(reason)}`})`
  const end = until === undefined ? 'and still does' : `until ${until}${how}, for ${formatDuration(heldMs ?? 0)}`
  const shared = mode === 'exclusive' ? '' : `, ${mode}`
  return `${safe(holder)} held it with token ${token}${shared}, since ${since} ${end}`
}
