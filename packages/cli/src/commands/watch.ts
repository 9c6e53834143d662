/** `holdfast watch [PREFIX]`. */
import type { Command } from 'commander'
import { type AccessOptions, withAccess } from '../access.ts'
import { eventLine } from '../describe.ts'
import { note, printJsonLine, printLine } from '../output.ts'
import { restOf } from '../rest.ts'

type Options = AccessOptions & { name?: string; after?: string }

export function define(program: Command): void {
  const command = program
    .command('watch')
    .summary('watch events as they happen')
    .description(
      'Watch events as they happen, none missing, until interrupted. With --json one document a line; its `id` can be given to --after.',
    )
    .argument('[prefix]', 'only locks whose name begins so')
    .option('--name <name>', 'this lock alone')
    .option('--after <id>', 'begin after this event')
    .action(watch)
  withAccess(command)
}

async function watch(prefix: string | undefined, options: Options): Promise<void> {
  const controller = new AbortController()
  for (const signal of ['SIGINT', 'SIGTERM'] as const) process.once(signal, () => controller.abort())
  const filter = {
    signal: controller.signal,
    ...(prefix === undefined ? {} : { prefix }),
    ...(options.name === undefined ? {} : { name: options.name }),
    ...(options.after === undefined ? {} : { after: options.after }),
  }
  for await (const item of restOf(options).watch(filter)) {
    if (options.json) printJsonLine(item)
    else if (item.type === 'reset') note('events have been missed here: the service no longer has them')
    else printLine(eventLine(item))
  }
}
