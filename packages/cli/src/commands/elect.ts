/** `holdfast elect NAME -- COMMAND`. */
import type { CampaignOptions, Holdfast } from '@holdfast/client'
import type { Command } from 'commander'
import { type AccessOptions, withAccess, withHoldfast } from '../access.ts'
import { parseDuration, parsePriority } from '../duration.ts'
import { refuseEmpty } from '../group.ts'
import { acquireUntilSignal } from '../holding.ts'
import { type Tell, telling } from '../holding-events.ts'
import { runUnderLock } from '../under-lock.ts'
import { noticeOf } from '../wait-notice.ts'

type ElectOptions = AccessOptions & { value?: string; wait?: number; ttl?: number; priority?: number; quiet?: boolean }

export function define(program: Command): void {
  const command = program
    .command('elect')
    .summary('run a command while being the leader')
    .description(
      'Stand for election, and run a command while leading. Everybody can read the value (`holdfast value NAME`). The command is kept and stopped as by `run`.',
    )
    .argument('<name>', 'the election')
    .argument('<command...>', 'what to run; from its first word on nothing is an option of ours')
    .option('--value <text>', 'what to proclaim, like the address of this leader', '')
    .option('--wait <duration>', 'how long to stand for election (default: without limit)', parseDuration)
    .option('--ttl <duration>', 'how long a dead leader is waited for, like 15s (default: 15s)', parseDuration)
    .option('--priority <p>', 'higher goes first, -100 to 100 (default: 0)', parsePriority)
    .option('--quiet', 'say nothing while waiting')
    .action(async (name: string, words: string[], options: ElectOptions) => {
      process.exitCode = await elect(name, words, options)
    })
  withAccess(command, { json: 'tell what becomes of the lock, and errors, as JSON lines on standard error' })
}

async function elect(name: string, words: readonly string[], options: ElectOptions): Promise<number> {
  refuseEmpty(words)
  const asked: CampaignOptions = {}
  if (options.wait !== undefined) asked.waitMs = options.wait
  if (options.priority !== undefined) asked.priority = options.priority
  const work = (tell: Tell) => async (holdfast: Holdfast) => {
    const election = holdfast.election(name)
    const leadership = await acquireUntilSignal(noticeOf(holdfast, name, options), more =>
      election.campaign(options.value ?? '', { ...asked, ...more }),
    )
    if (typeof leadership === 'number') return leadership
    await using held = leadership
    return await runUnderLock(held.lock, words, tell)
  }
  const connection = options.ttl === undefined ? {} : { ttlMs: options.ttl }
  // The lock is released before anybody waits for who reads.
  return telling(options, tell => withHoldfast(options, work(tell), connection))
}
