/** `holdfast doctor`: measures, compares, and says what to change. */
import { existsSync } from 'node:fs'
import { join } from 'node:path'
import type { Finding } from '@holdfast/server/cluster'
import type { Command } from 'commander'
import { type AccessOptions, apiKeyOf, trust, urlOf, withServers } from '../access.ts'
import { clusterWork, type Room, type Tools } from '../cluster-work.ts'
import { CommandFailure, exitCodes } from '../exit.ts'
import { paint, printJson, printLine, type Style, safe } from '../output.ts'
import { askServer } from '../server-seen.ts'

type Options = AccessOptions & { data?: string }

const CLUSTER_DEFAULT = './cluster'
/** Where a server that was started in this directory with its defaults keeps its store. */
const DATA_DEFAULT = './data'

export function define(program: Command): void {
  const command = program
    .command('doctor')
    .summary('see whether all is well, and what to change')
    .description(
      'Measure what the settings presume: how long commits and syncs take, whether servers are ready and how late they answer, their clocks, the TTLs that are in use, versions, members, space and certificates; and say what to change. Servers are named with commas between them.',
    )
    .option(
      '--data <directory>',
      `a cluster's directory on this machine (default: ${CLUSTER_DEFAULT}), or the data folder of a server that has its store in it (default: $HOLDFAST_DATA, else ${DATA_DEFAULT})`,
    )
    .option('--json', 'print JSON')
    .addHelpText('after', '\nEnds with 0 when there is no problem, 1 when there is one. Nothing is changed.')
    .action((options: Options) =>
      clusterWork({ data: options.data ?? CLUSTER_DEFAULT }, async tools => {
        const findings = await examine(options, tools)
        tools.progress.done()
        const problems = findings.filter(({ level }) => level === 'problem').length
        if (options.json) printJson({ problems, findings })
        else printLine(textOf(findings))
        if (problems > 0) process.exitCode = 1
      }),
    )
  withServers(command)
}

async function examine(options: Options, { room, directory, clock, progress }: Tools): Promise<Finding[]> {
  trust(options)
  const urls = urlsOf(options)
  const { hasCluster, dataFolder } = foldersOf(options, urls, room)
  const apiKey = apiKeyOf(options)
  progress.update('asking the servers …')
  const asked = await Promise.all(urls.map(url => askServer(room, { url, apiKey })))
  const servers = asked.flatMap(one => ('why' in one ? [] : [one]))
  const findings = room.examineServers(servers, clock)
  for (const one of asked)
    if ('why' in one)
      findings.push({ level: 'problem', what: `${one.url} does not answer (${one.why})`, change: one.change })
  progress.update('timing commits and syncs …')
  if (hasCluster) findings.push(...(await room.examineCluster(directory, clock, servers)))
  if (dataFolder !== null) findings.push(room.examineDisk(dataFolder, clock))
  return findings
}

function urlsOf(options: Options): string[] {
  const urls = urlOf(options)
    .split(',')
    .map(url => url.trim().replace(/\/+$/, ''))
  for (const url of urls)
    if (!/^https?:\/\//.test(url) || !URL.canParse(url))
      throw new CommandFailure(exitCodes.usage, `The service's address is no URL: ${JSON.stringify(url)}.`)
  return urls
}

/** What lies on this machine: a cluster's directory; and the folder of an embedded store, whose disk every grant waits for. */
function foldersOf(
  { data }: Options,
  urls: readonly string[],
  { isLoopback }: Room,
): { hasCluster: boolean; dataFolder: string | null } {
  const hasCluster = existsSync(join(data ?? CLUSTER_DEFAULT, 'cluster.json'))
  const isOfServer = (folder: string) => existsSync(join(folder, 'store'))
  if (data !== undefined) {
    if (hasCluster) return { hasCluster, dataFolder: null }
    if (isOfServer(data)) return { hasCluster, dataFolder: data }
    throw new CommandFailure(exitCodes.usage, `There is no cluster in ${data}, and no server keeps its store there.`)
  }
  // A folder that was not named is that of a server that was asked only where that is of this machine.
  const isOfHere = !hasCluster && urls.some(isLoopback)
  const folder = process.env.HOLDFAST_DATA || (isOfHere ? DATA_DEFAULT : null)
  return { hasCluster, dataFolder: folder !== null && isOfServer(folder) ? folder : null }
}

const marks = {
  ok: ['green', 'ok'],
  notice: ['yellow', 'notice'],
  problem: ['red', 'PROBLEM'],
} as const satisfies Record<Finding['level'], readonly [Style, string]>
const MARK_WIDTH = 7

function textOf(findings: readonly Finding[]): string {
  return findings
    .map(({ level, what, change }) => {
      const [style, mark] = marks[level]
      const head = `${paint(style, mark.padEnd(MARK_WIDTH))}  ${safe(what)}`
      return change === '' ? head : `${head}\n${' '.repeat(MARK_WIDTH + 2)}→ ${safe(change)}`
    })
    .join('\n')
}
