/** `holdfast doctor`: measures, compares, and says what to change. */
import { existsSync } from 'node:fs'
import { join } from 'node:path'
import type { Finding, ServerSeen } from '@holdfast/server/cluster'
import { type Command, Option } from 'commander'
import { monotonicMs } from '../clock.ts'
import { type ClusterOptions, clusterWork, type Room, withData } from '../cluster-work.ts'
import { CommandFailure, exitCodes } from '../exit.ts'
import { paint, printJson, printLine, type Style, safe } from '../output.ts'

type Options = ClusterOptions & { url?: string; json?: boolean }

const URL_DEFAULT = 'http://127.0.0.1:7420'
const QUESTIONS = 10
const ANSWER_MS_MAX = 5_000

export function define(program: Command): void {
  const command = program
    .command('doctor')
    .summary('see whether all is well, and what to change')
    .description(
      'Measure what the settings presume: how long commits and syncs take, how late servers answer, their clocks, the TTLs that are in use, versions, members, space and certificates; and say what to change.',
    )
    .addOption(
      new Option('--url <urls>', `the servers, with commas between them (default: $HOLDFAST_URL, else ${URL_DEFAULT})`),
    )
    .option('--json', 'print JSON')
    .addHelpText('after', '\nEnds with 0 when there is no problem, 1 when there is one. Nothing is changed.')
    .action((options: Options) =>
      clusterWork(options, async ({ room, directory, clock, progress }) => {
        const urls = (options.url ?? (process.env.HOLDFAST_URL || URL_DEFAULT))
          .split(',')
          .map(url => url.trim().replace(/\/+$/, ''))
        progress.update('asking the servers …')
        const asked = await Promise.all(urls.map(async url => ({ url, seen: await ask(room, url) })))
        const servers = asked.flatMap(({ seen }) => (seen ? [seen] : []))
        const findings = room.examineServers(servers, clock)
        for (const { url, seen } of asked) if (!seen) findings.push(silent(url))
        if (existsSync(join(directory.path, 'cluster.json'))) {
          progress.update('timing commits and syncs …')
          findings.push(...(await room.examineCluster(directory, clock, servers)))
        } else if (options.data !== './cluster') {
          throw new CommandFailure(exitCodes.usage, `There is no cluster in ${directory.path}.`)
        }
        progress.done()
        const problems = findings.filter(({ level }) => level === 'problem').length
        if (options.json) printJson({ problems, findings })
        else printLine(textOf(findings))
        if (problems > 0) process.exitCode = 1
      }),
    )
  withData(command)
}

/** null: it does not answer. */
async function ask({ numberIn, bucketsIn }: Room, url: string): Promise<ServerSeen | null> {
  try {
    let slowestMs = 0
    let roundTripMs = 0
    let date = ''
    // The first one also makes the connection.
    await get(`${url}/readyz`)
    for (let count = 0; count < QUESTIONS; count++) {
      const beganMs = monotonicMs()
      const { headers } = await get(`${url}/readyz`)
      roundTripMs = monotonicMs() - beganMs
      slowestMs = Math.max(slowestMs, roundTripMs)
      date = headers.get('date') ?? ''
    }
    const wallMs = Date.parse(date)
    const metrics = await (await get(`${url}/metrics`)).text()
    const description: unknown = await (await get(`${url}/v2/openapi.json`)).json()
    return {
      url,
      stalls: numberIn(metrics, 'holdfast_loop_stalls_total'),
      clockSteps: numberIn(metrics, 'holdfast_clock_steps_total'),
      ttls: bucketsIn(metrics, 'holdfast_session_ttl_seconds'),
      slowestMs,
      wallMs,
      roundTripMs,
      release: releaseIn(description),
    }
  } catch {
    // Why it does not answer is no help: that it does not is the finding.
    return null
  }
}

function get(url: string): Promise<Response> {
  return fetch(url, { signal: AbortSignal.timeout(ANSWER_MS_MAX) })
}

function releaseIn(description: unknown): string | null {
  const text = JSON.stringify(description)
  return /"info":\{[^}]*"version":"([^"]+)"/.exec(text)?.[1] ?? null
}

function silent(url: string): Finding {
  return { level: 'problem', what: `${url} does not answer`, change: 'Start it, or name the servers by --url.' }
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
