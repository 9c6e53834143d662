/** `holdfast audit …`: what was done, by whom, to what; taken elsewhere; and whether it is still what was written. */
import { createReadStream, readFileSync } from 'node:fs'
import type { Rest } from '@holdfast/client'
import { toSnake } from '@holdfast/protocol/casing'
import { type Command, Option } from 'commander'
import { type AccessOptions, hostOf, urlOf, withAccess } from '../access.ts'
import { parseCount } from '../duration.ts'
import { CommandFailure, exitCodes } from '../exit.ts'
import { note, paint, printJson, printLine, safe } from '../output.ts'
import { restOf } from '../rest.ts'
import { parseTime } from '../time.ts'
import { cadfOf } from '../trail/cadf.ts'
import { Chained, checkLines } from '../trail/chained.ts'
import { changedText } from '../trail/changed.ts'
import { Crns } from '../trail/crn.ts'
import { linesOf } from '../trail/lines.ts'
import type { WireRecord } from '../trail/record.ts'

type Asked = AccessOptions & {
  lock?: string
  prefix?: string
  subject?: string
  action?: string
  outcome?: string
  since?: string
  until?: string
}
type Listing = Asked & { limit: number; oldest?: boolean; start?: string }
type Exporting = Asked & { format: 'jsonl' | 'cadf'; crn?: string; service?: string }
type Head = { chain: string; seq: number; hash: string }
type Problem = { chain: string; seq: number; kind: string; message: string }
type Next = { href: string; start: string }
type Page = { records: WireRecord[]; instances: { id: string; crn: string }[]; next?: Next }
type Part = { order: 'oldest' | 'newest'; limit: number; start: string | undefined }
type Verifying = AccessOptions & { head?: string; heads?: string }

const LISTED_DEFAULT = 50
const PAGE_LIMIT = 200
/** A part of a check reads much; it is let take its time. */
const PATIENCE_MS = 60_000

export function define(program: Command): void {
  const audit = program
    .command('audit')
    .summary('who did what; export it; see whether it was touched')
    .description(
      'The trail: every change of a lock, every denied request, every act of administration. `verify` ends with 1 when something was edited, taken out, moved or cut off.',
    )
  withFilter(audit.command('list').description('The newest records.'))
    .option('--limit <n>', 'how many records', parseCount, LISTED_DEFAULT)
    .option('--oldest', 'the oldest first')
    .option('--start <cursor>', 'go on where another list ended; with the same filter and order')
    .action(list)
  withFilter(
    audit
      .command('export')
      .description(
        'All records, the oldest first, a JSON document a line, to standard output. The head of the export is printed beside it.',
      ),
  )
    .addOption(
      new Option('--format <format>', 'JSON lines that are chained, or CADF events')
        .choices(['jsonl', 'cadf'])
        .default('jsonl'),
    )
    .option('--crn <crn>', 'the service instance’s CRN in CADF events (default: as the service says)')
    .option('--service <name>', 'the service’s name in CADF events (default: as the CRN says)')
    .action(exported)
  const verify = audit
    .command('verify')
    .description('Check the chains of the service, or those of an export.')
    .argument('[file]', 'an export')
    .option('--head <hash>', 'the head that was printed when the file was exported')
    .option('--heads <file>', 'what `holdfast audit head` printed: the chains must still hold it')
    .action(verified)
  withAccess(verify)
  const head = audit
    .command('head')
    .description('The newest hash of each chain, as JSON: keep it elsewhere.')
    .action(heads)
  withAccess(head)
}

function withFilter(command: Command): Command {
  withAccess(command)
  return command
    .option('--lock <name>', 'of this lock')
    .option('--prefix <prefix>', 'of locks whose name begins so')
    .option('--subject <subject>', 'by this subject, or to its sessions')
    .option('--action <action>', 'like lock.acquire')
    .addOption(new Option('--outcome <outcome>', 'what came of it').choices(['success', 'denied', 'failure']))
    .option('--since <time>', 'from then on, like 2026-11-21T06:00:00Z', parseTime)
    .option('--until <time>', 'before then', parseTime)
}

async function pageOf(rest: Rest, asked: Asked, part: Part): Promise<Page> {
  const { lock, prefix, subject, action, outcome, since, until } = asked
  const query = { lock, lock_prefix: prefix, subject, action, outcome, since, until, ...part }
  const page: Omit<Page, 'records'> & { records: object[] } = await rest.call('GET', '/v2/audit', { query })
  // As the wire has it: an export is what was answered.
  return { ...page, records: page.records.map(record => toSnake(record) as WireRecord) }
}

async function* recordsOf(options: Asked, crns: Crns): AsyncGenerator<WireRecord> {
  const rest = restOf(options)
  let start: string | undefined
  do {
    const page = await pageOf(rest, options, { order: 'oldest', limit: PAGE_LIMIT, start })
    crns.learn(page.instances)
    yield* page.records
    start = page.next?.start
  } while (start !== undefined)
}

async function list(options: Listing): Promise<void> {
  const rest = restOf(options)
  const order = options.oldest ? 'oldest' : 'newest'
  const records: WireRecord[] = []
  let next: Next | undefined
  do {
    const limit = Math.min(PAGE_LIMIT, options.limit - records.length)
    const page = await pageOf(rest, options, { order, limit, start: next?.start ?? options.start })
    records.push(...page.records)
    next = page.next
  } while (next && records.length < options.limit)
  if (options.json) return printJson({ records, ...(next && { next }) })
  if (records.length === 0) note('nothing of that kind is in the trail')
  for (const record of records) printLine(lineOf(record))
  if (next) note(`there is more: --start ${next.start}, a greater --limit, or \`holdfast audit export\``)
}

function lineOf(record: WireRecord): string {
  const { at, action, outcome, subject, from, target, token, holder, reason, changed } = record
  const details = [
    outcome === 'success' ? '' : paint('red', outcome),
    token === undefined ? '' : `token ${token}`,
    `by ${subject === '' ? 'somebody unknown' : safe(subject)}${from === undefined ? '' : ` from ${safe(from)}`}`,
    holder === undefined ? '' : `as ${safe(holder)}`,
    reason === undefined ? '' : `(${safe(reason)})`,
    changed === undefined ? '' : paint('dim', changedText(changed)),
  ]
  return [paint('dim', at), action.padEnd(18), safe(target), ...details].filter(text => text !== '').join('  ')
}

async function exported(options: Exporting): Promise<void> {
  const chained = new Chained()
  const { format, service, lock, prefix, subject, action, outcome, since, until } = options
  const crns = new Crns(options.crn)
  const cadf = { crns, host: hostOf(options), ...(service !== undefined && { service }) }
  if (format === 'jsonl')
    printLine(chained.begin({ of: urlOf(options), lock, prefix, subject, action, outcome, since, until }))
  let count = 0
  for await (const record of recordsOf(options, crns)) {
    count++
    printLine(format === 'jsonl' ? chained.record(record) : JSON.stringify(cadfOf(record, cadf)))
  }
  if (format === 'cadf') return note(`${count} records`)
  printLine(chained.end())
  note(`${count} records; head ${chained.head}`)
}

async function verified(file: string | undefined, options: Verifying): Promise<void> {
  if (file !== undefined) {
    if (options.heads !== undefined) throw misplaced('--heads is of the chains of the service: leave FILE out.')
    return verifyFile(file, options)
  }
  if (options.head !== undefined) throw misplaced('--head is of an export: name its file as well.')
  const known = options.heads === undefined ? [] : headsIn(options.heads)
  const rest = restOf(options)
  const problems: Problem[] = []
  let [batches, start]: [number, string | undefined] = [0, undefined]
  do {
    const body = { heads: known, ...(start !== undefined && { start }) }
    const part: { batches: number; problems: Problem[]; next?: string } = await rest.call('POST', '/v2/audit/verify', {
      body,
      patience: PATIENCE_MS,
    })
    batches += part.batches
    problems.push(...part.problems)
    start = part.next
  } while (start !== undefined)
  const compared = options.heads === undefined ? {} : { heads: known.length }
  if (options.json) printJson({ isIntact: problems.length === 0, batches, ...compared, problems })
  for (const { chain, seq, message } of options.json ? [] : problems) printLine(`${chain}, ${seq}: ${message}`)
  const counted = options.heads === undefined ? '' : `; ${known.length} heads compared`
  if (!options.json && problems.length === 0) printLine(`${batches} batches and links, none of them touched${counted}`)
  if (problems.length > 0) process.exitCode = 1
}

function misplaced(message: string): CommandFailure {
  return new CommandFailure(exitCodes.usage, message)
}

async function verifyFile(file: string, options: Verifying): Promise<void> {
  const lines = linesOf(createReadStream(file, 'utf8'))
  const { records, head, problems } = await checkLines(lines, options.head).catch((error: Error) => {
    throw new CommandFailure(exitCodes.usage, `${file} cannot be read: ${error.message}.`)
  })
  if (options.json) printJson({ isIntact: problems.length === 0, records, head, problems })
  for (const { line, message } of options.json ? [] : problems) printLine(`line ${line} ${message}`)
  if (!options.json && problems.length === 0) printLine(`${records} records, none of them touched; head ${head}`)
  if (problems.length > 0) process.exitCode = 1
}

async function heads(options: AccessOptions): Promise<void> {
  printJson(await restOf(options).call('GET', '/v2/audit/heads'))
}

/** What this program printed, and at least one: with none nothing would be compared, and a trail that was removed whole would pass. */
function headsIn(file: string): Head[] {
  let content: { heads?: unknown } | null
  try {
    content = JSON.parse(readFileSync(file, 'utf8'))
  } catch (error) {
    throw new CommandFailure(
      exitCodes.usage,
      `The heads cannot be read: ${error instanceof Error ? error.message : error}.`,
    )
  }
  const heads = content?.heads
  // The service refuses what is no head.
  if (Array.isArray(heads) && heads.length > 0) return heads
  throw new CommandFailure(
    exitCodes.usage,
    `${file} holds no heads: it must be what was printed by \`holdfast audit head > FILE\`.`,
  )
}
