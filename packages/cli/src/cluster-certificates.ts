/** `cluster rotate-certs`. */
import type { Command } from 'commander'
import { clusterOperation, type Done, type OperationOptions, type Tools, withOperation } from './cluster-work.ts'
import { CommandFailure, exitCodes } from './exit.ts'

type Options = OperationOptions & { ca?: boolean; finish?: boolean; from?: string }

export function defineCertificates(cluster: Command): void {
  withOperation(cluster.command('rotate-certs'))
    .description(
      'New certificates, while all goes on. With --ca a new authority, in two steps: first all learn to believe it, then, with --finish, the old one is forgotten.',
    )
    .option('--ca', 'a new authority too')
    .option('--finish', 'with --ca: the second step')
    .option('--from <file>', 'on another machine than the first: the file that `invite` wrote there')
    .action((options: Options) => clusterOperation(options, 'rotate-certs', tools => rotate(tools, options)))
}

async function rotate(tools: Tools, { ca, finish, from }: Options): Promise<Done> {
  if (finish && !ca) throw new CommandFailure(exitCodes.usage, '--finish goes with --ca.')
  if (from !== undefined && ca) throw new CommandFailure(exitCodes.usage, '--from and --ca exclude each other.')
  const { room, directory } = tools
  if (from !== undefined) return renew(tools, from)
  if (!ca) {
    const files = room.rotateLeaves(directory, tools)
    const text =
      'These are new. Servers on this machine take them by themselves; give those elsewhere the new client.pem.'
    return { text: [...files, text].join('\n'), json: { files } }
  }
  if (!finish) {
    await room.beginAuthority(tools)
    const text = `All members of this machine believe both authorities now. Give ${directory.caFile} to whoever else has it;\nto machines of further members: \`holdfast cluster invite\`. Then: holdfast cluster rotate-certs --ca --finish`
    return { text, json: { files: [directory.caFile], isFinished: false } }
  }
  const { waitingFor } = await room.finishAuthority(tools)
  if (waitingFor.length === 0) return { text: 'The old authority is forgotten.', json: { isFinished: true } }
  const list = waitingFor.join(', ')
  throw new CommandFailure(
    1,
    `Certificates of the new authority are in use here, and the old authority is still believed, because ${list} shows one of its own. Give ${list} new ones (\`holdfast cluster invite\`, there \`holdfast cluster rotate-certs --from\`), then do this again.`,
  )
}

async function renew(tools: Tools, from: string): Promise<Done> {
  const { room, directory } = tools
  const { isNewAuthority } = room.renewFromInvitation(directory, room.readInvitation(from))
  if (isNewAuthority) await room.restartOneByOne(tools, { purpose: 'taking new authorities', change: plan => plan })
  return { text: `The certificates of ${from} are in use.`, json: { from, isNewAuthority } }
}
