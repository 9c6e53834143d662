/** `holdfast acquire NAME`: for scripts that cannot be wrapped by `run`. Nobody renews for them. */
import { hostname } from 'node:os'
import { type Command, InvalidArgumentError } from 'commander'
import { type AccessOptions, withAccess } from '../access.ts'
import { parsePriority, parseSeconds } from '../duration.ts'
import { CommandFailure, exitCodes } from '../exit.ts'
import { printJson, printLine } from '../output.ts'
import { acquireOverRest } from '../waiting.ts'

type AcquireOptions = AccessOptions & {
  ttl?: number
  wait?: number
  holder?: string
  priority?: number
  preempt?: boolean
}
/** Proxies cut longer requests, so the API does not take them. */
const WAIT_SECONDS_MAX = 60

const description = `Acquire a lock and print its lock_id, which \`renew\` and \`release\` need.

${[
  'Nothing renews such a lock: after its TTL somebody else may hold it, whether the work is done or not. Work that may last, or hang, belongs under',
  '`holdfast run`, which renews the lock and stops the work in time. And no clock stops work whose machine was paused: let what the lock protects',
  'check the token, which --json prints.',
].join(' ')}`

const example = `
Example:
  if id=$(holdfast acquire orders --ttl 1m); then
    timeout -k 5 40 ./work.sh      # ended well before the TTL is over
    holdfast release orders "$id"  # exits with 121 when it was over all the same
  else
    exit $?                        # 120: not acquired
  fi`

export function define(program: Command): void {
  const command = program
    .command('acquire')
    .summary('acquire a lock and print its lock_id')
    .description(description)
    .argument('<name>', 'the lock')
    .option('--ttl <duration>', 'how long it lasts without a renewal (default: the lock’s, else 30s)', parseSeconds)
    .option(
      '--wait <duration>',
      'how long to wait in line, up to 60s, through restarts of the service too (default: 0, only try)',
      parseWait,
    )
    .option('--holder <name>', 'what this holder is called (default: host:pid of the shell)')
    .option('--priority <p>', 'higher goes first, -100 to 100 (default: 0)', parsePriority)
    .option('--preempt', 'take it, with notice, from a holder of lower priority; needs a --wait')
    .addHelpText('after', example)
    .action(acquire)
  withAccess(command)
}

async function acquire(name: string, options: AcquireOptions): Promise<void> {
  const { ttl, wait = 0, priority, preempt } = options
  if (preempt && wait === 0) {
    const message = '--preempt has to wait until the holder has gone: say how long, with --wait 30s.'
    throw new CommandFailure(exitCodes.usage, message)
  }
  const body = {
    holder: options.holder ?? `${hostname()}:${process.ppid}`,
    // In whole seconds, as the simple API counts them.
    ...(ttl === undefined ? {} : { ttlSeconds: ttl }),
    ...(priority === undefined ? {} : { priority }),
    ...(preempt ? { preempt } : {}),
  }
  const grant = await acquireOverRest<{ lockId: string }>(options, { name, body, waitSeconds: wait })
  if (options.json) printJson(grant)
  else printLine(grant.lockId)
}

function parseWait(text: string): number {
  const seconds = parseSeconds(text)
  if (seconds <= WAIT_SECONDS_MAX) return seconds
  throw new InvalidArgumentError('At most 60s; `holdfast run` waits as long as you like.')
}
