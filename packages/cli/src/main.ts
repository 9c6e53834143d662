/** `holdfast`: finds the verb, loads its code, and turns whatever goes wrong into a sentence and an exit code. */
import { HoldfastError } from '@holdfast/client'
import { Command, CommanderError } from 'commander'
import { CommandFailure, exitCodeOf, exitCodes } from './exit.ts'
import { separateCommand } from './holding.ts'
import { nameInstance } from './named-instance.ts'
import { note } from './output.ts'
import { verbs } from './verbs.ts'

const epilogue = `
The service is found by $HOLDFAST_URL (default http://127.0.0.1:7420), the API key by $HOLDFAST_API_KEY, --api-key-file, or
./data/root.key beside a server that was started here. With $HOLDFAST_IAM_API_KEY it is exchanged for tokens of IBM Cloud IAM, or of $HOLDFAST_IAM_URL.

Exit codes: 120 not acquired, 121 lock lost, 122 preempted, 123 service unreachable, 124 wrong usage, 125 internal error;
\`run\` and \`elect\` otherwise pass on that of their command.`

/** Sets `process.exitCode`; never throws. */
export async function main(args: readonly string[]): Promise<void> {
  // A reader that has seen enough (`| head`) is no error; a server outlives whoever reads its log.
  if (args[0] !== 'serve') {
    process.stdout.on('error', error =>
      process.exit('code' in error && error.code === 'EPIPE' ? 0 : exitCodes.internal),
    )
  }
  try {
    const program = await programFor(args[0])
    await program.parseAsync(separated(program, args), { from: 'user' })
  } catch (error) {
    process.exitCode = report(error)
  }
}

/** The whole list of verbs, and of the one that is asked for its options too. */
async function programFor(name: string | undefined): Promise<Command> {
  const program = new Command('holdfast')
    .description('Hold a distributed lock from the shell, and look after a lock service.')
    .addHelpText('after', epilogue)
    .exitOverride()
    .showSuggestionAfterError()
    .showHelpAfterError('Add --help to see what can be said.')
    .hook('preAction', (_, command) => nameInstance(command))
    .enablePositionalOptions()
  for (const verb of verbs) {
    if (verb.name === name || (name === 'help' && verb.name !== 'serve')) (await verb.load()).define(program)
    else program.command(verb.name).summary(verb.summary).description(verb.summary).allowUnknownOption()
  }
  for (const command of program.commands) command.exitOverride()
  return program
}

/** A verb that runs a command takes no options out of it. */
function separated(program: Command, [name = '', ...rest]: readonly string[]): string[] {
  const verb = program.commands.find(command => command.name() === name)
  if (verb?.registeredArguments.at(-1)?.name() === 'command') return [name, ...separateCommand(verb, rest)]
  return name === '' ? rest : [name, ...rest]
}

function report(error: unknown): number {
  if (error instanceof CommanderError) {
    // Help and version are no mistakes; for the others commander has said what is wrong.
    return error.exitCode === 0 || error.code === 'commander.helpDisplayed' ? 0 : exitCodes.usage
  }
  if (error instanceof HoldfastError || error instanceof CommandFailure) note(error.message)
  else note(`a bug, please report it: ${error instanceof Error ? error.stack : String(error)}`)
  return exitCodeOf(error)
}

if (import.meta.main) await main(process.argv.slice(2))
