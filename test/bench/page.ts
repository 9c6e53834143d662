/**
 * The tables and plots in the docs come from what a run has kept, between two comments, so that no figure is typed by hand. What a run has not
 * measured stays as it is in the page.
 */
import { readFileSync, writeFileSync } from 'node:fs'
import { dirname, relative } from 'node:path'
import type { Kept } from './kept.ts'
import { number, type Report } from './report.ts'
import type { Plot } from './side-by-side/plots.ts'
import { lossesPage, markdown, matrixPage } from './side-by-side/table.ts'

/** Parts of the page that this writes, by the name in their comments. */
export type Regions = Record<string, string>

/** Questions about many at once, each with a place of its own, as they are long. */
const CROWDS = ['expiry', 'watchers', 'renewals', 'recovery']

export function regionsOf(
  kept: Kept,
  { plots, page }: { plots: { list: Plot[]; folder: string } | null; page: string },
): Regions {
  const regions: Regions = {}
  const matrix = kept.reports.matrix?.matrix
  if (matrix) {
    const images = plots
      ? plots.list.map(({ file, title }) => `![${title}](${relative(dirname(page), plots.folder)}/${file})`)
      : []
    const rounds = `${matrix.rounds} rounds of ${matrix.seconds} s after one that warms up`
    regions['side-by-side'] = [`${about(kept)} ${rounds}.`, ...images, matrixPage(matrix)].join('\n\n')
    regions.losses = lossesPage(matrix)
  }
  for (const name of CROWDS) {
    const report = kept.reports[name]
    if (report) regions[name] = [crowd(report), about(kept)].join('\n\n')
  }
  return regions
}

/** @throws when the page has no place for one of them. */
export function writePage(page: string, regions: Regions): void {
  let text = readFileSync(page, 'utf8')
  for (const [name, content] of Object.entries(regions)) {
    const [begin, end] = [`<!-- ${name}: written by npm run bench -->`, `<!-- ${name}: end -->`]
    const [from, to] = [text.indexOf(begin), text.indexOf(end)]
    if (from < 0 || to < from) throw new Error(`${page} has no ${begin} … ${end}`)
    text = `${text.slice(0, from + begin.length)}\n\n${content}\n\n${text.slice(to)}`
  }
  writeFileSync(page, text)
}

/** Of the last minute, for each processor: with more, somebody else was at work; less is what a build or a run just before leaves. */
const QUIET_LOAD_MAX = 0.6

/** What must be known of a run to read its figures. */
function about({ at, command, machine, isQuick }: Kept): string {
  const what = `${at.slice(0, 10)}, \`${command}\`: ${machine.cpus} × ${machine.model}, ${machine.memoryGiB} GiB, Linux ${machine.kernel}, Node ${machine.node}`
  const load = `load of the machine when it began ${number(machine.load)}`
  const isBusy = machine.load > QUIET_LOAD_MAX * machine.cpus
  const warnings = [isBusy ? 'rough, busy machine' : '', isQuick ? 'rough, quick' : ''].filter(Boolean)
  return `${what}; ${load}.${warnings.map(warning => ` **${warning}**.`).join('')}`
}

function crowd({ question, about, rows, notRun, verdicts }: Report): string {
  const table = rows.map(({ name, value, unit, spread, note }) => [
    name,
    `${number(value)} ${unit}${spread ? ` (${number(spread[0])} – ${number(spread[1])})` : ''}`,
    note ?? '',
  ])
  const parts = [`**${question}.** ${about}`, markdown([['', 'measured', ''], ...table])]
  for (const { claim, value, target, isMet } of verdicts) {
    if (isMet !== null) parts.push(`${claim}: ${number(value)}, wanted ${target}: ${isMet ? 'met' : '**missed**'}.`)
  }
  if (notRun && notRun.length > 0) parts.push(`No figure: ${notRun.join('; ')}.`)
  return parts.join('\n\n')
}
