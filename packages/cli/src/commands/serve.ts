/** `holdfast serve`: the server, loaded only here. All its settings are its own. */
import type { Command } from 'commander'

export function define(program: Command): void {
  program
    .command('serve')
    .summary('start a server')
    .description('Start a server. Its settings: `holdfast serve --help`.')
    .argument('[settings...]', 'passed to the server as they are')
    .allowUnknownOption()
    .helpOption(false)
    .passThroughOptions()
    .action(async (settings: string[]) => {
      const { main } = await import('@holdfast/server/main')
      await main(settings)
    })
}
