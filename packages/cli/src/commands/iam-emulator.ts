/** `holdfast iam-emulator`: IBM Cloud IAM for development and tests, loaded only here. */
import type { Command } from 'commander'
import { CommandFailure, exitCodes } from '../exit.ts'
import { note, printLine } from '../output.ts'

type Options = { listen: string; file?: string }

export function define(program: Command): void {
  program
    .command('iam-emulator')
    .summary('emulate IBM Cloud IAM, for development and tests')
    .description(
      'Emulate IBM Cloud IAM, for development and tests: tokens for API keys, their public keys, policies and decisions. What it knows is gone when it ends.',
    )
    .option('--listen <host:port>', 'where to listen, on this machine only', '127.0.0.1:7421')
    .option('--file <file>', 'JSON file with the account: identities, policies, roles (default: examples)')
    .action(run)
}

async function run({ listen, file }: Options): Promise<void> {
  const { exampleIdentities, readAccount, startIamEmulator, systemClock, systemRandom } = await import(
    '@holdfast/server/iam-emulator'
  )
  const account = file === undefined ? exampleIdentities : usable(() => readAccount(file))
  const emulator = await startIamEmulator({
    account,
    listen: listenOf(listen),
    clock: systemClock,
    random: systemRandom,
  }).catch((error: unknown) => {
    throw new CommandFailure(exitCodes.usage, error instanceof Error ? error.message : String(error))
  })
  // Before anything is said: who has read it may stop it at once.
  const stopped = new Promise<void>(resolve => {
    for (const signal of ['SIGINT', 'SIGTERM'] as const) process.once(signal, resolve)
  })
  note('this is an emulator of IBM Cloud IAM for development and tests: never trust its tokens in production.')
  printLine(`issuer   ${emulator.issuer}`)
  printLine(`account  ${account.account}`)
  for (const { iam_id, name, apikey } of account.identities) {
    // Keys out of somebody's file are theirs; those of the examples are in the source.
    const key = file === undefined && apikey !== undefined ? `  apikey ${apikey}` : ''
    printLine(`  ${iam_id}  ${name}${key}`)
  }
  await stopped
  await emulator.close()
}

function usable<Value>(read: () => Value): Value {
  try {
    return read()
  } catch (error) {
    throw new CommandFailure(exitCodes.usage, error instanceof Error ? error.message : String(error))
  }
}

function listenOf(text: string): { host: string; port: number } {
  const match = /^(?:\[([0-9a-fA-F:.]+)\]|([^:[\]]+)):([0-9]{1,5})$/.exec(text)
  const port = Number(match?.[3])
  if (match && port <= 65_535) return { host: match[1] ?? match[2]!, port }
  throw new CommandFailure(exitCodes.usage, `--listen must be HOST:PORT, like 127.0.0.1:7421, not ${text}.`)
}
