/** `holdfast`: finds the verb, loads its code, and turns whatever goes wrong into a sentence and an exit code. */
import { readFileSync } from 'node:fs'
import { Command } from 'commander'
import { CommandFailure, exitCodes } from './exit.ts'
import { report } from './failure.ts'
import { separateCommand } from './holding.ts'
import { nameInstance } from './named-instance.ts'
import { verbs } from './verbs.ts'

const epilogue = `
The service is found by $HOLDFAST_URL (default http://127.0.0.1:7420), the API key by $HOLDFAST_API_KEY, --api-key-file, or
./data/root.key beside a server that was started here. With $HOLDFAST_IAM_API_KEY it is exchanged for tokens of IBM Cloud IAM, or of $HOLDFAST_IAM_URL.

Exit codes: 120 not acquired, 121 lock lost, 122 preempted, 123 service unreachable, 124 wrong usage or credential, 125 internal error;
\`run\` and \`elect\` otherwise pass on that of their command. With --json an error is one JSON object on standard error.`

/** Sets `process.exitCode`, and ends the process when a verb's work is done and what it has said has been taken; never throws. */
export async function main(args: readonly string[]): Promise<void> {
  // Whoever does not listen any more cannot be told so; a command that runs under a lock must not lose its keeper over it.
  process.stderr.on('error', () => undefined)
  let asJson = asksForJson(args)
  // A server outlives whoever reads its log.
  if (args[0] !== 'serve') {
    process.stdout.once('error', error => endUnsaid(error, { asJson }))
    // Of what is written after it once is enough.
    process.stdout.on('error', () => undefined)
  }
  try {
    const program = await programFor(args[0])
    const words = separated(program, args)
    asJson = asksForJson(words)
    // What is wrong is then said once, by `report`.
    if (asJson) for (const command of allOf(program)) command.configureOutput({ writeErr: () => undefined })
    await program.parseAsync(words, { from: 'user' })
  } catch (error) {
    process.exitCode = report(error, { asJson })
  }
  // A server goes on when its verb returns.
  if (args[0] !== 'serve') endWhenSaid()
}

/** What is left open by then, like a connection whose other side hangs and never says goodbye, would keep this process for minutes. */
function endWhenSaid(): void {
  process.stdout.write('', error => {
    // It is told of that error next, and `endUnsaid` ends the process: this must not be faster.
    if (!error) process.stderr.write('', () => process.exit())
  })
}

/** Standard output takes no more. A reader that has seen enough (`| head`) is no error; a full disk is, for what was to be kept is lost. */
function endUnsaid(error: Error, { asJson }: { asJson: boolean }): void {
  if ('code' in error && error.code === 'EPIPE') process.exit(0)
  const failure = new CommandFailure(exitCodes.internal, `standard output cannot be written: ${error.message}`)
  const code = report(failure, { asJson })
  process.stderr.write('', () => process.exit(code))
}

/** The whole list of verbs, and of the one that is asked for its options too. */
async function programFor(name: string | undefined): Promise<Command> {
  const program = new Command('holdfast')
    .description('Hold a distributed lock from the shell, and look after a lock service.')
    .version(versionOf(), '-V, --version', 'print the version')
    .addHelpText('after', epilogue)
    .exitOverride()
    .showSuggestionAfterError()
    .showHelpAfterError('Add --help to see what can be said.')
    .hook('preAction', (_, command) => refuseEmpty(command))
    .hook('preAction', (_, command) => nameInstance(command))
    .enablePositionalOptions()
  for (const verb of verbs) {
    if (verb.name === name || (name === 'help' && verb.name !== 'serve')) (await verb.load()).define(program)
    else program.command(verb.name).summary(verb.summary).description(verb.summary).allowUnknownOption()
  }
  for (const command of program.commands) command.exitOverride()
  return program
}

/** Of the package: one folder up from the sources, and from what is made of them. */
function versionOf(): string {
  // Its `package.json` has one.
  return (JSON.parse(readFileSync(new URL('../package.json', import.meta.url), 'utf8')) as { version: string }).version
}

/** A verb that runs a command takes no options out of it. */
function separated(program: Command, [name = '', ...rest]: readonly string[]): string[] {
  const verb = program.commands.find(command => command.name() === name)
  if (verb?.registeredArguments.at(-1)?.name() === 'command') return [name, ...separateCommand(verb, rest)]
  return name === '' ? rest : [name, ...rest]
}

/** As `"$lock"` is empty when a script has forgotten to set it: a path that ends before the name is that of the list of all. Only a prefix may be. */
function refuseEmpty({ registeredArguments, args }: Command): void {
  const empty = registeredArguments.find(({ required, variadic }, index) => required && !variadic && args[index] === '')
  if (!empty || empty.name() === 'prefix') return
  throw new CommandFailure(exitCodes.usage, `Say <${empty.name()}>, ${empty.description}: it is empty.`)
}

function allOf(command: Command): Command[] {
  return [command, ...command.commands.flatMap(allOf)]
}

/** Whether what we say should be JSON; what stands behind `--` is not said to us. */
function asksForJson(words: readonly string[]): boolean {
  const end = words.indexOf('--')
  return (end < 0 ? words : words.slice(0, end)).includes('--json')
}

if (import.meta.main) await main(process.argv.slice(2))
