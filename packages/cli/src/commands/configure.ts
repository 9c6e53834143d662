/** `holdfast configure NAME`: the settings of a lock. */
import type { LockView } from '@holdfast/client'
import { type Command, InvalidArgumentError, Option } from 'commander'
import { type AccessOptions, withAccess } from '../access.ts'
import { several } from '../administration/options.ts'
import { lockText } from '../describe.ts'
import { parseCount, parseDuration } from '../duration.ts'
import { CommandFailure, exitCodes } from '../exit.ts'
import { note, printJson, printLine, safe } from '../output.ts'
import { restOf } from '../rest.ts'

/** Of the option, the field of `PATCH /v2/locks/{name}`. */
const fields = {
  description: 'description',
  defaultTtl: 'defaultTtlMs',
  maxHold: 'maxHoldMs',
  lockDelay: 'lockDelayMs',
  preemption: 'preemption',
  grace: 'graceMs',
  minHold: 'minHoldMs',
  limit: 'limit',
  queueMax: 'queueMax',
} as const

type Setting = keyof typeof fields
type Options = AccessOptions & { [S in Setting]?: string | number } & {
  label?: string[]
  unset?: string[]
  delete?: boolean
}

const settings = Object.keys(fields) as Setting[] // `keys` forgets the keys' type
const words = [...settings.map(wordOf), 'labels']

export function define(program: Command): void {
  const command = program
    .command('configure')
    .summary('show or change the settings of a lock')
    .description(
      'Show the settings of a lock, or change some of them. What is not named stays as it is; grants in force go on as they were made.',
    )
    .argument('<name>', 'the lock')
    .option('--description <text>', 'for people')
    .option(
      '--default-ttl <duration>',
      'of /v1: how long a grant lasts without a renewal, if its request does not say',
      parseDuration,
    )
    .option('--max-hold <duration>', 'the longest that a grant lasts, if its request does not say', parseDuration)
    .option(
      '--lock-delay <duration>',
      'after an unclean end nobody gets it for this long, if the request did not say',
      parseDuration,
    )
    .addOption(
      new Option('--preemption <how>', 'the most that a request of higher priority may do to its holder').choices([
        'never',
        'graceful',
        'immediate',
      ]),
    )
    .option('--grace <duration>', 'how long a preempted holder has to clean up', parseDuration)
    .option('--min-hold <duration>', 'nobody is preempted before holding it for this long', parseDuration)
    .option('--limit <n>', 'how many permits it has, as a semaphore', parseCount)
    .option('--queue-max <n>', 'how many may wait in line; 0: nobody', parseWaiters)
    .option('--label <key=value>', 'a label; may be said more than once', several)
    .option(
      '--unset <setting>',
      `take a setting away: ${words.join(', ')}, or label=<key>; may be said more than once`,
      several,
    )
    .option('--delete', 'take all settings away, of a lock that is not in use')
    .action(configure)
  withAccess(command)
}

async function configure(name: string, options: Options): Promise<void> {
  const rest = restOf(options)
  const patch = patchOf(options)
  if (options.delete) {
    if (Object.keys(patch).length > 0) throw misplaced('--delete takes all settings away: leave the others out.')
    await rest.deleteConfiguration(name)
    if (!options.json) note(`${safe(name)} has no settings any more`)
    return
  }
  const path = `/v2/locks/${encodeURIComponent(name)}`
  const isChange = Object.keys(patch).length > 0
  const lock = isChange ? await rest.call<LockView>('PATCH', path, { body: patch, lock: name }) : await rest.show(name)
  if (options.json) printJson(lock)
  else printLine(lockText(lock))
}

function patchOf(options: Options): Record<string, unknown> {
  const patch: Record<string, unknown> = {}
  for (const setting of settings) if (options[setting] !== undefined) patch[fields[setting]] = options[setting]
  const labels: Record<string, string | null> = {}
  for (const label of options.label ?? []) {
    const [, key, value] = /^([^=]+)=(.*)$/s.exec(label) ?? []
    if (key === undefined || value === undefined)
      throw misplaced(`Say a label like team=payments, not ${JSON.stringify(label)}.`)
    labels[key] = value
  }
  for (const word of options.unset ?? []) {
    const setting = settings.find(one => wordOf(one) === word)
    if (setting && patch[fields[setting]] !== undefined)
      throw misplaced(`--unset ${word} and --${word} exclude each other.`)
    if (setting) patch[fields[setting]] = null
    else if (word.startsWith('label=')) labels[word.slice('label='.length)] = null
    else if (word === 'labels') patch.labels = null
    else throw misplaced(`There is no setting ${JSON.stringify(word)}: say one of ${words.join(', ')}, or label=<key>.`)
  }
  if (Object.keys(labels).length === 0) return patch
  if (patch.labels === null) throw misplaced('--unset labels takes all of them away: leave the others out.')
  return { ...patch, labels }
}

function wordOf(setting: Setting): string {
  return setting.replaceAll(/[A-Z]/g, letter => `-${letter.toLowerCase()}`)
}

function parseWaiters(text: string): number {
  if (/^\d{1,9}$/.test(text)) return Number(text)
  throw new InvalidArgumentError(`Say a whole number from 0 on, not \`${text}\`.`)
}

function misplaced(message: string): CommandFailure {
  return new CommandFailure(exitCodes.usage, message)
}
