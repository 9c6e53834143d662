/** `holdfast acquire NAME`: for scripts that cannot be wrapped by `run`. Nobody renews for them. */
import { hostname } from 'node:os'
import { type Command, InvalidArgumentError } from 'commander'
import { type AccessOptions, withAccess } from '../access.ts'
import { parsePriority, parseSeconds } from '../duration.ts'
import { printJson, printLine } from '../output.ts'
import { lockPath, restOf } from '../rest.ts'

type AcquireOptions = AccessOptions & {
  ttl?: number
  wait?: number
  holder?: string
  priority?: number
  preempt?: boolean
}
/** Proxies cut longer requests, so the API does not take them. */
const WAIT_SECONDS_MAX = 60
/** Beyond the wait, for the answer. */
const PATIENCE_MS = 15_000

export function define(program: Command): void {
  const command = program
    .command('acquire')
    .summary('acquire a lock and print its lock_id')
    .description(
      'Acquire a lock and print its lock_id, which `renew` and `release` need. The lock ends by itself after its TTL. Where you can, prefer `holdfast run`.',
    )
    .argument('<name>', 'the lock')
    .option('--ttl <duration>', 'how long it lasts without a renewal (default: the lock’s, else 30s)', parseSeconds)
    .option('--wait <duration>', 'how long to wait in line, up to 60s (default: 0, only try)', parseWait)
    .option('--holder <name>', 'what this holder is called (default: host:pid of the shell)')
    .option('--priority <p>', 'higher goes first, -100 to 100 (default: 0)', parsePriority)
    .option('--preempt', 'take it, with notice, from a holder of lower priority')
    .addHelpText(
      'after',
      '\nExample:\n  id=$(holdfast acquire orders --ttl 1m) && ./work.sh; holdfast release orders "$id"',
    )
    .action(acquire)
  withAccess(command)
}

async function acquire(name: string, options: AcquireOptions): Promise<void> {
  // In whole seconds, as the simple API counts them.
  const { ttl, wait = 0, priority, preempt } = options
  const body = {
    holder: options.holder ?? `${hostname()}:${process.ppid}`,
    waitSeconds: wait,
    ...(ttl === undefined ? {} : { ttlSeconds: ttl }),
    ...(priority === undefined ? {} : { priority }),
    ...(preempt ? { preempt } : {}),
  }
  const grant = await restOf(options).call<{ lockId: string }>('POST', lockPath(name, 'acquire'), {
    body,
    lock: name,
    patience: wait * 1_000 + PATIENCE_MS,
  })
  if (options.json) printJson(grant)
  else printLine(grant.lockId)
}

function parseWait(text: string): number {
  const seconds = parseSeconds(text)
  if (seconds <= WAIT_SECONDS_MAX) return seconds
  throw new InvalidArgumentError('At most 60s; `holdfast run` waits as long as you like.')
}
