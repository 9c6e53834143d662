/** `holdfast history NAME`. */
import type { LockEvent } from '@holdfast/client'
import type { Command } from 'commander'
import { type AccessOptions, withAccess } from '../access.ts'
import { eventLine } from '../describe.ts'
import { formatDuration, parseCount } from '../duration.ts'
import { note, printJson, printLine, safe } from '../output.ts'
import { restOf } from '../rest.ts'
import { parseTime } from '../time.ts'

const EVENTS_DEFAULT = 50
/** Few round trips, small bodies. */
const PAGE_LIMIT = 200

type Options = AccessOptions & { limit: number; start?: string; at?: string }
type Next = { href: string; start: string }
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
type Held = {
  holders: Holder[]
  waiters: { holder: string; since: string }[]
  isComplete: boolean
  knownSince?: string
}

export function define(program: Command): void {
  const command = program
    .command('history')
    .summary('what has happened to a lock')
    .description('What has happened to a lock, newest first, as far as it is kept; or who held it at some time.')
    .argument('<name>', 'the lock')
    .option('--limit <n>', 'how many events', parseCount, EVENTS_DEFAULT)
    .option('--start <cursor>', 'go on there: what `next.start` of --json said')
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
  const { events, next } = await eventsOf(name, options)
  if (options.json) return printJson({ events, ...(next && { next }) })
  if (events.length === 0) note('nothing is known of it')
  for (const event of events) printLine(eventLine(event))
  if (next) note(`there is more: --limit, or --start ${next.start}`)
}

/** Page after page, until there are as many as were asked for; `next` is where the rest begins. */
async function eventsOf(name: string, options: Options): Promise<{ events: LockEvent[]; next: Next | undefined }> {
  const rest = restOf(options)
  const path = `/v2/locks/${encodeURIComponent(name)}/history`
  const events: LockEvent[] = []
  let next: Next | undefined
  let { start } = options
  do {
    const query = { limit: Math.min(PAGE_LIMIT, options.limit - events.length), start }
    const page: { events: LockEvent[]; next?: Next } = await rest.call('GET', path, { query, lock: name })
    events.push(...page.events)
    next = page.next
    start = next?.start
  } while (next && events.length < options.limit)
  return { events, next }
}

async function heldAt(name: string, options: Options): Promise<void> {
  const path = `/v2/locks/${encodeURIComponent(name)}/held`
  const held: Held = await restOf(options).call('GET', path, {
    query: { at: options.at },
    patience: PATIENCE_MS,
    lock: name,
  })
  if (options.json) return printJson(held)
  if (held.holders.length === 0) printLine(held.isComplete ? 'nobody held it' : 'nobody is known to have held it')
  for (const holder of held.holders) printLine(holderLine(holder))
  for (const { holder, since } of held.waiters) printLine(`${safe(holder)} waited for it, since ${since}`)
  if (held.knownSince !== undefined) note(`nothing is known of the time before ${held.knownSince}`)
  else if (!held.isComplete) note('there was more to look through than one request may: this may not be all')
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
