/** `cluster up`, `init`, `invite`, `join`. */
import { basename, resolve } from 'node:path'
import { type Command, InvalidArgumentError } from 'commander'
import { linesOf, serveText, shown } from './cluster-lines.ts'
import { type ClusterOptions, clusterWork, parseHost, type Tools, withData } from './cluster-work.ts'
import { parseBytes, parseCount, parseDuration, parsePort } from './duration.ts'
import { CommandFailure, exitCodes } from './exit.ts'
import { printLine } from './output.ts'

type Care = { every?: number; keep: number; backups?: string }
type Making = { etcd?: string; port?: number; quotaBytes?: number; root?: string }
type UpOptions = ClusterOptions & Care & Making & { members?: number; host: string }
type InviteOptions = ClusterOptions & { host: string; port?: number; to: string }

const KEEP_DEFAULT = 7
/** A backup takes about as long; and the retention rule would soon leave none that is older than a mistake. */
const EVERY_MS_MIN = 1_000

export function defineRunning(cluster: Command): void {
  withData(withCare(withMaking(cluster.command('up'))))
    .description(
      'Run the etcd members of this machine until Ctrl-C or SIGTERM. With --members a new cluster is made where there is none: for trial, as all of them are lost with the machine.',
    )
    .option('--members <n>', 'make a new cluster of so many, like 3, where there is none', parseCount)
    .option('--host <address>', 'of a new cluster: where they listen', parseHost, '127.0.0.1')
    .action((options: UpOptions) => clusterWork(options, tools => up(tools, options)))
  withData(withMaking(cluster.command('init')))
    .description(
      'Begin a cluster of several machines on this one: its authority and its first member. `up` then runs it.',
    )
    .argument('[name]', 'what this member is called', 'm1')
    .requiredOption('--host <address>', 'address or name by which the other machines reach this one', parseHost)
    .action((name: string, options: UpOptions) => clusterWork(options, tools => init(tools, name, options)))
  withData(cluster.command('invite'))
    .description(
      'Write the file with which another machine joins, or gets new certificates. Whoever has it can be that member: carry it safely (scp), and delete it when it has been used.',
    )
    .argument('<name>', 'what the member is called')
    .requiredOption('--host <address>', 'address or name by which the others reach that machine', parseHost)
    .option('--port <port>', 'where its etcd listens to clients; to the other members one higher', parsePort)
    .requiredOption('--to <file>', 'the file to write')
    .action((name: string, options: InviteOptions) => clusterWork(options, tools => invite(tools, name, options)))
  withData(withCare(cluster.command('join')))
    .description('Join the cluster with the file that `invite` wrote, and then run the member as `up` does.')
    .argument('<file>', 'the file')
    .option('--etcd <path>', 'the etcd program (default: the one on PATH)')
    .action((file: string, options: ClusterOptions & Care & Making) =>
      clusterWork(options, tools => join(tools, file, options)),
    )
}

function withMaking(command: Command): Command {
  return command
    .option('--etcd <path>', 'the etcd program (default: the one on PATH)')
    .option('--port <port>', 'of a new cluster: the first port (default: 2379 or the next that is free)', parsePort)
    .option('--quota-bytes <n>', 'of a new cluster: how large its database may get (default: 2 GiB)', parseBytes)
    .option('--root <prefix>', 'of a new cluster: what `serve --root` is (default: holdfast)')
}

function withCare(command: Command): Command {
  return command
    .option('--every <duration>', 'make a backup this often, like 6h', parseEvery)
    .option('--keep <n>', 'how many of those backups are kept', parseCount, KEEP_DEFAULT)
    .option('--backups <directory>', 'where they go (default: backups in --data)')
}

async function up(tools: Tools, options: UpOptions): Promise<void> {
  const { room, directory, progress } = tools
  const { members: count } = options
  if (!directory.exists && count !== undefined) {
    await room.beginCluster({ ...tools, ...making(tools, options), count, host: options.host })
    progress.say(`made a cluster of ${count} in ${directory.path}`)
  } else if (count !== undefined && count !== directory.plan().members.length) {
    progress.say(`the cluster has ${directory.plan().members.length} members here; \`holdfast cluster add\` adds one`)
  }
  await run(tools, options)
}

async function run(tools: Tools, options: Care, first?: (doors: Tools['doors']) => Promise<void>): Promise<void> {
  const { room, directory } = tools
  // Before anything is made where perhaps a disk is missing.
  directory.plan()
  const { every, keep } = options
  await room.runCluster({
    ...tools,
    backups:
      every === undefined ? null : { everyMs: every, keep, directory: resolve(options.backups ?? directory.backups) },
    ...(first ? { first } : {}),
    ready: picture => {
      tools.progress.done()
      const well = picture.members.filter(({ trouble }) => trouble === null).length
      printLine(`etcd is ready: ${well} of ${picture.members.length} members, ${picture.leader?.name} leads.`)
      const isTrial = picture.members.every(({ url }) => url === null || room.isLoopback(url))
      const lines = linesOf({ local: directory.plan().members, isTrial })
      printLine(serveText(lines, room.serveArguments(directory, picture)))
    },
  })
}

async function init(tools: Tools, name: string, options: UpOptions): Promise<void> {
  const { room, directory } = tools
  await room.beginCluster({ ...tools, ...making(tools, options), name, count: 1, host: options.host })
  const [member] = directory.plan().members
  printLine(`Made ${name} in ${directory.path}; it will listen at ${member && room.clientUrlOf(member)}.`)
  printLine(`\n  holdfast cluster up --data ${shown(directory.path)}\n`)
  printLine(
    'runs it. Then invite the others, one after another: `holdfast cluster invite m2 --host ADDRESS --to m2.join`.',
  )
}

async function invite(tools: Tools, name: string, options: InviteOptions): Promise<void> {
  const { room, directory, doors } = tools
  const picture = await doors.look()
  const present = picture.members.find(member => member.name === name)
  refuseOtherHost(present, options.host)
  const clientPort = options.port ?? (present?.url ? Number(new URL(present.url).port) : room.CLIENT_PORT)
  const asked = { name, host: options.host, clientPort, peerPort: clientPort + 1 }
  room.writeWhole(options.to, `${JSON.stringify(room.invite(directory, picture, asked, tools), null, 2)}\n`)
  const verb = present ? 'rotate-certs --from' : 'join'
  const file = basename(options.to)
  printLine(`Wrote ${options.to}. Copy it to ${options.host}, and there, in the folder where ${file} then is:\n`)
  printLine(`  holdfast cluster ${verb} ${file} --data /var/lib/holdfast-cluster\n`)
  printLine('It holds keys: delete it here and there when that is done.')
}

/** With certificates for another host the others would no longer believe it. */
function refuseOtherHost(present: { name: string; url: string | null } | undefined, host: string): void {
  const own = present?.url ? new URL(present.url).hostname.replace(/^\[|\]$/g, '') : host
  if (own === host) return
  throw new CommandFailure(
    exitCodes.usage,
    `${present?.name} is a member already, and the others reach it at ${own}: invite it again with --host ${own}, or another one under another name.`,
  )
}

async function join(tools: Tools, file: string, options: Care & Making): Promise<void> {
  const { room, directory } = tools
  const invitation = room.readInvitation(file)
  const etcd = room.findEtcd(options.etcd).path
  room.acceptInvitation(directory, invitation)
  await run(tools, options, doors => room.joinAs({ ...tools, doors }, room.planOfInvitation(invitation, etcd)))
}

function making({ room }: Tools, { etcd, port, quotaBytes, root }: Making) {
  return {
    etcd: room.findEtcd(etcd).path,
    ...(port === undefined ? {} : { port }),
    ...(quotaBytes === undefined ? {} : { quotaBytes }),
    ...(root === undefined ? {} : { root }),
  }
}

function parseEvery(text: string): number {
  const ms = parseDuration(text)
  if (ms >= EVERY_MS_MIN) return ms
  throw new InvalidArgumentError(
    `Backups are made once a second at the most: say 1s or more, like 6h; not \`${text}\`.`,
  )
}
