/** `holdfast run NAME -- COMMAND`. */
import { type AcquireOptions, finishSlot, type Holdfast, isSlotFinished, type Lock } from '@holdfast/client'
import { type Command, Option } from 'commander'
import { type AccessOptions, withAccess, withHoldfast } from '../access.ts'
import { parseCount, parseDuration, parsePriority } from '../duration.ts'
import { CommandFailure, exitCodes } from '../exit.ts'
import { refuseEmpty } from '../group.ts'
import { acquireUntilSignal } from '../holding.ts'
import { type Tell, telling } from '../holding-events.ts'
import { runUnderLock } from '../under-lock.ts'
import { noticeOf } from '../wait-notice.ts'

type RunOptions = AccessOptions & {
  wait?: number
  ttl?: number
  shared?: boolean
  permits?: number
  limit?: number
  priority?: number
  preempt?: 'graceful' | 'immediate'
  maxHold?: number
  lockDelay?: number
  once?: string
  quiet?: boolean
}

const description = `Run a command while holding a lock.

${[
  'The command runs in a process group of its own and gets every signal that this gets. If the lock is lost, or somebody with',
  'a better claim asks for it, the whole group gets TERM, and KILL before anybody else can hold the lock, unless this process or the',
  'machine is stopped meanwhile (SIGSTOP, a paused VM): so let what the lock protects check HOLDFAST_TOKEN. The lock is',
  'released when the whole group is gone. The command finds HOLDFAST_LOCK, HOLDFAST_TOKEN and',
  'HOLDFAST_DEADLINE (when the first deadline would be, in ms since 1970) in its environment.',
  'A lock alone does not keep a job of several machines from being run by one after the other: that is what --once is for.',
].join(' ')}`

const examples = `
Exit codes: the command's own (128 + n if a signal n ended it), 126 and 127 if it could not be started, or
  120  not acquired: held by others, the wait was over, or frozen
  121  the lock was lost and the command was stopped
  122  preempted and the command was stopped
  123  the service cannot be reached
  124  wrong usage, or a credential that is wrong or does not permit it
  125  internal error

Examples:
  holdfast run deploy/web -- ./migrate.sh
  holdfast run --wait 0 nightly-report -- ./report.sh      # at most one at a time; others exit with 120
  holdfast run --once "$(date -u +%F)" nightly-import -- ./import.sh   # by one of all machines, once a day
  holdfast run --permits 1 --limit 3 gpu -- ./train.sh     # at most three at a time`

export function define(program: Command): void {
  const command = program
    .command('run')
    .summary('run a command while holding a lock')
    .description(description)
    .argument('<name>', 'the lock')
    .argument('<command...>', 'what to run; from its first word on nothing is an option of ours')
    .option(
      '--wait <duration>',
      'how long to wait for the lock, like 30s; 0 only tries (default: without limit)',
      parseDuration,
    )
    .option(
      '--ttl <duration>',
      'how long the lock outlives a dead holder, like 15s (default: 15s); the longer, the longer the service may be away',
      parseDuration,
    )
    .option('--shared', 'share the lock with others who share it')
    .option('--permits <n>', 'take n permits of a semaphore', parseCount)
    .option('--limit <m>', 'how many permits the semaphore has', parseCount)
    .option('--priority <p>', 'higher goes first, -100 to 100 (default: 0)', parsePriority)
    .addOption(
      new Option('--preempt <how>', 'ask holders of lower priority to go, or take the lock; not with --wait 0').choices(
        ['graceful', 'immediate'],
      ),
    )
    .option('--max-hold <duration>', 'the lock ends after this, whatever happens', parseDuration)
    .option('--lock-delay <duration>', 'after an unclean end nobody gets the lock for this long', parseDuration)
    .option(
      '--once <slot>',
      'not if it has been run for this slot, or a later one, and has ended with 0: a text that sorts, like 2026-11-23; remembered in the lock’s value',
    )
    .option('--quiet', 'say nothing while waiting')
    .addHelpText('after', examples)
    .action(async (name: string, words: string[], options: RunOptions) => {
      process.exitCode = await run(name, words, options)
    })
  withAccess(command, { json: 'tell what becomes of the lock, and errors, as JSON lines on standard error' })
}

async function run(name: string, words: readonly string[], options: RunOptions): Promise<number> {
  refuseEmpty(words)
  if (options.shared && (options.permits !== undefined || options.limit !== undefined)) {
    throw new CommandFailure(exitCodes.usage, '--shared and --permits exclude each other.')
  }
  if (options.once !== undefined && (options.shared || options.permits !== undefined || options.limit !== undefined)) {
    throw new CommandFailure(
      exitCodes.usage,
      '--once is for a lock that one has at a time: leave --shared and --permits out.',
    )
  }
  if (options.preempt !== undefined && options.wait === 0) {
    throw new CommandFailure(exitCodes.usage, '--preempt has to wait until the holder has gone: leave --wait 0 out.')
  }
  const connection = options.ttl === undefined ? {} : { ttlMs: options.ttl }
  const work = (tell: Tell) => async (holdfast: Holdfast) => {
    const lock = await acquireUntilSignal(noticeOf(holdfast, name, options), asked =>
      acquire(holdfast, name, { ...acquireOptions(options), ...asked, metadata: { command: words[0] } }, options),
    )
    if (typeof lock === 'number') return lock
    await using held = lock
    return await runSlot(held, words, { tell, slot: options.once })
  }
  // The lock is released before anybody waits for who reads.
  return telling(options, tell => withHoldfast(options, work(tell), connection))
}

/** With a slot: unless it has been run; and if it ends well, it has been. */
async function runSlot(
  lock: Lock,
  words: readonly string[],
  { tell, slot }: { tell: Tell; slot: string | undefined },
): Promise<number> {
  if (slot === undefined) return runUnderLock(lock, words, tell)
  if (await isSlotFinished(lock, slot)) {
    const { name, token } = lock
    tell({ event: 'finished', lock: name, token, slot, message: `${slot} has been run already, or a later one` })
    return 0
  }
  const code = await runUnderLock(lock, words, tell)
  if (code === 0) await finishSlot(lock, slot)
  return code
}

function acquireOptions(options: RunOptions): AcquireOptions {
  const asked: AcquireOptions = {}
  if (options.wait !== undefined) asked.waitMs = options.wait
  if (options.priority !== undefined) asked.priority = options.priority
  if (options.preempt !== undefined) asked.preempt = options.preempt
  if (options.maxHold !== undefined) asked.maxHoldMs = options.maxHold
  if (options.lockDelay !== undefined) asked.lockDelayMs = options.lockDelay
  return asked
}

function acquire(
  holdfast: Holdfast,
  name: string,
  asked: AcquireOptions,
  { shared, permits, limit }: RunOptions,
): Promise<Lock> {
  if (shared) return holdfast.locks.shared(name).acquire(asked)
  if (permits === undefined && limit === undefined) return holdfast.acquire(name, asked)
  return holdfast.semaphore(name, limit === undefined ? {} : { limit }).acquire({ ...asked, permits: permits ?? 1 })
}
