/** `cluster rotate-certs`. */
import type { Command } from 'commander'
import { type ClusterOptions, clusterOperation, type Tools, withData } from './cluster-work.ts'
import { CommandFailure, exitCodes } from './exit.ts'
import { printLine } from './output.ts'

type Options = ClusterOptions & { ca?: boolean; finish?: boolean; from?: string }

export function defineCertificates(cluster: Command): void {
  withData(cluster.command('rotate-certs'))
    .description(
      'New certificates, while all goes on. With --ca a new authority, in two steps: first all learn to believe it, then, with --finish, the old one is forgotten.',
    )
    .option('--ca', 'a new authority too')
    .option('--finish', 'with --ca: the second step')
    .option('--from <file>', 'on another machine than the first: the file that `invite` wrote there')
    .action((options: Options) => clusterOperation(options, 'rotate-certs', tools => rotate(tools, options)))
}

async function rotate(tools: Tools, { ca, finish, from }: Options): Promise<void> {
  if (finish && !ca) throw new CommandFailure(exitCodes.usage, '--finish goes with --ca.')
  if (from !== undefined && ca) throw new CommandFailure(exitCodes.usage, '--from and --ca exclude each other.')
  const { room, directory } = tools
  if (from !== undefined) return renew(tools, from)
  if (!ca) {
    for (const file of room.rotateLeaves(directory, tools)) printLine(file)
    printLine(
      'These are new. Servers on this machine take them by themselves; give those elsewhere the new client.pem.',
    )
    return
  }
  if (!finish) {
    await room.beginAuthority(tools)
    printLine(
      `All members of this machine believe both authorities now. Give ${directory.caFile} to whoever else has it;`,
    )
    printLine(
      'to machines of further members: `holdfast cluster invite`. Then: holdfast cluster rotate-certs --ca --finish',
    )
    return
  }
  const { waitingFor } = await room.finishAuthority(tools)
  if (waitingFor.length === 0) return printLine('The old authority is forgotten.')
  const list = waitingFor.join(', ')
  throw new CommandFailure(
    1,
    `Certificates of the new authority are in use here, and the old authority is still believed, because ${list} shows one of its own. Give ${list} new ones (\`holdfast cluster invite\`, there \`holdfast cluster rotate-certs --from\`), then do this again.`,
  )
}

async function renew(tools: Tools, from: string): Promise<void> {
  const { room, directory } = tools
  const { isNewAuthority } = room.renewFromInvitation(directory, room.readInvitation(from))
  if (isNewAuthority) await room.restartOneByOne(tools, { purpose: 'taking new authorities', change: plan => plan })
  printLine(`The certificates of ${from} are in use.`)
}
