/** `holdfast keys …`: the keys that a store is encrypted with. Works on the store itself, beside the servers that use it. */
import type { KeySourceConfig, KeyStatus, StoreKeys } from '@holdfast/server/keys'
import type { Command } from 'commander'
import { parseCount, parseDuration } from '../duration.ts'
import { CommandFailure, exitCodes } from '../exit.ts'
import { printJson, printLine } from '../output.ts'
import { progressOn } from '../progress.ts'

type ReencryptOptions = { rate: number; wait: number }
type RewrapOptions = {
  newEncryptionKeyFile?: string
  newEncryptionKeyCommand?: string
  newEncryptionKmsCommand?: string
}

const FAILED = 1
const RATE_DEFAULT = 1_000
const WAIT_MS_DEFAULT = 60_000

export function define(program: Command): void {
  const keys = program
    .command('keys')
    .summary('see and change the keys of an encrypted store')
    .description(
      'See and change the keys that a store is encrypted with, while its servers run or not. All commands take the settings of the server (`holdfast serve --help`): where the store is, and where the key-encryption key is.',
    )
    .enablePositionalOptions()
  verb(keys, 'status', 'Which data keys there are, and how many values each has sealed that are still there.')
    .option('--json', 'print JSON')
    .action((settings: string[], options: { json?: boolean }) =>
      work(settings, async store => printStatus(await store.status(), options)),
    )
  verb(keys, 'rotate', 'Make a new data key: all servers seal with it what they write from now on.').action(
    (settings: string[]) =>
      work(settings, async store => printLine(`The data key ${await store.rotate()} seals from now on.`)),
  )
  verb(
    keys,
    'reencrypt',
    'Seal everything that is under old data keys anew, at a bounded rate, and drop those keys. Servers go on meanwhile.',
  )
    .option('--rate <values>', 'how many values a second, at the most', parseCount, RATE_DEFAULT)
    .option(
      '--wait <duration>',
      'how long servers get to seal what only they may write',
      parseDuration,
      WAIT_MS_DEFAULT,
    )
    .action((settings: string[], options: ReencryptOptions) => work(settings, store => reencrypt(store, options)))
  verb(keys, 'rewrap', 'Wrap the data keys by another key-encryption key. No value is touched.')
    .option('--new-encryption-key-file <file>', 'file of the new key-encryption key')
    .option('--new-encryption-key-command <command>', 'command that prints it')
    .option('--new-encryption-kms-command <command>', 'command that wraps and unwraps')
    .action((settings: string[], options: RewrapOptions) =>
      work(settings, async store => {
        const count = await store.rewrap(newSourceOf(options))
        printLine(`${count} data keys are wrapped anew. Give the servers the new key-encryption key now.`)
      }),
    )
}

function verb(keys: Command, name: string, description: string): Command {
  return keys
    .command(name)
    .description(description)
    .argument('[settings...]', "the server's settings")
    .allowUnknownOption()
}

async function work(settings: string[], act: (store: StoreKeys) => Promise<void>): Promise<void> {
  process.noDeprecation = true
  const { KeysFailure, withKeys } = await import('@holdfast/server/keys')
  try {
    await withKeys({ args: settings, env: process.env }, act)
  } catch (error) {
    if (error instanceof KeysFailure) throw new CommandFailure(FAILED, error.message)
    if (error instanceof Error && /^(Etcd|Engine)/.test(error.name)) throw new CommandFailure(FAILED, error.message)
    throw error
  }
}

async function reencrypt(store: StoreKeys, { rate, wait }: ReencryptOptions): Promise<void> {
  const progress = progressOn(process.stderr)
  const controller = new AbortController()
  const stop = () => controller.abort(new CommandFailure(FAILED, 'Stopped. What was sealed anew is; do it again.'))
  for (const signal of ['SIGINT', 'SIGTERM'] as const) process.once(signal, stop)
  try {
    const { resealed, dropped, left } = await store.reencrypt({
      valuesPerSecond: rate,
      waitMs: wait,
      signal: controller.signal,
      progress: done => progress.update(`${done.resealed} sealed anew, ${done.left} left to their servers …`),
    })
    progress.done()
    if (left.length > 0) {
      throw new CommandFailure(
        FAILED,
        `${resealed} values were sealed anew; these are held by servers that have not done it yet, so no key was dropped: ${left.join(', ')}. Start a server of the cluster and do it again.`,
      )
    }
    printLine(`${resealed} values were sealed anew. Dropped: ${dropped.join(', ') || 'nothing, there was no old key'}.`)
  } finally {
    progress.done()
    for (const signal of ['SIGINT', 'SIGTERM'] as const) process.removeListener(signal, stop)
  }
}

function newSourceOf(options: RewrapOptions): KeySourceConfig {
  const { newEncryptionKeyFile: path, newEncryptionKeyCommand: command, newEncryptionKmsCommand: kms } = options
  const sources: KeySourceConfig[] = [
    ...(path === undefined ? [] : [{ type: 'file', path } as const]),
    ...(command === undefined ? [] : [{ type: 'command', command } as const]),
    ...(kms === undefined ? [] : [{ type: 'kms', command: kms } as const]),
  ]
  const [source] = sources
  if (source && sources.length === 1) return source
  throw new CommandFailure(exitCodes.usage, 'Say where the new key-encryption key is: one of the --new-… options.')
}

function printStatus(keys: readonly KeyStatus[], { json }: { json?: boolean }): void {
  if (json) return printJson({ keys })
  for (const { id, isCurrent, createdAt, wrappedBy, values } of keys) {
    const state = isCurrent ? 'seals' : 'old  '
    printLine(`${id}  ${state}  ${values} values, since ${new Date(createdAt).toISOString()}, wrapped by ${wrappedBy}`)
  }
}
