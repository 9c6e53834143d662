/** A matrix as text: for the terminal, and for the page in the docs. */
import { number } from '../report.ts'
import { type Figure, figure, type Loss, losses, quantities } from './figures.ts'
import type { Cell, Matrix } from './matrix.ts'

/** Of one work: a line for its titles, and one for each contender. */
export function tableOf(matrix: Matrix, workId: string): string[][] {
  const head = ['', ...quantities.map(({ title }) => title)]
  const rows = matrix.contenders.map(({ id, label }) => {
    const cell = matrix.cells[workId]?.[id]
    return [label, ...quantities.map(({ key }) => (key === 'perSecond' ? firstOf(cell) : text(figure(cell, key))))]
  })
  return [head, ...rows, ...matrix.notRun.map(({ label }) => [label, 'not run', ...quantities.slice(1).map(() => '')])]
}

/** The range stands beside what is quoted most; that of the others is in the JSON. */
function firstOf(cell: Cell | undefined): string {
  if (cell && 'failed' in cell) return 'failed'
  const own = figure(cell, 'perSecond')
  return own ? `${number(own.median)} (${number(own.low)} – ${number(own.high)})` : '–'
}

const text = (value: Figure | null) => (value ? number(value.median) : '–')

export function printMatrix(matrix: Matrix): void {
  for (const { id, name, about } of matrix.works) {
    console.log(`\n  ${name}. ${about}`)
    const table = tableOf(matrix, id)
    const widths = table[0]!.map((_, column) => Math.max(...table.map(row => row[column]?.length ?? 0)))
    for (const row of table)
      console.log(
        `  ${row.map((field, column) => (column === 0 ? field.padEnd(widths[0]!) : field.padStart(widths[column]!))).join('  ')}`,
      )
    for (const note of notes(matrix, id)) console.log(`  ${note}`)
  }
}

/** Why there is no figure, where there is none. */
export function notes(matrix: Matrix, workId: string): string[] {
  return matrix.contenders.flatMap(({ id, label }) => {
    const cell = matrix.cells[workId]?.[id]
    if (cell && 'failed' in cell) return [`${label}: failed: ${cell.failed.split('\n')[0]}`]
    if (cell && 'none' in cell) return [`${label}: – ${cell.none}.`]
    return []
  })
}

/** Markdown: who they are, a table for each work, and what we lose at. */
export function matrixPage(matrix: Matrix): string {
  const parts = [
    markdown([
      ['', 'what', 'durability', 'waiting', 'commits counted'],
      ...matrix.contenders.map(({ label, name, durability, waiting, commits }) => [
        label,
        name,
        durability,
        waiting,
        commits === null ? 'yes' : `no: ${commits}`,
      ]),
    ]),
    ...matrix.notRun.map(({ label, why }) => `**${label}**: not run: ${why}`),
  ]
  for (const { id, name, about } of matrix.works) {
    const remarks = notes(matrix, id)
    parts.push(
      `**${name}.** ${about}`,
      markdown(tableOf(matrix, id)),
      ...(remarks.length > 0 ? [remarks.join(' ')] : []),
    )
  }
  return parts.join('\n\n')
}

/** For each of ours a table: at which work, in which quantity, who is better and by how much. */
export function lossesPage(matrix: Matrix): string {
  const all = losses(matrix)
  if (all.length === 0) return 'Nothing, in this run.'
  const tables = [...new Set(all.map(({ ours }) => ours))].map(ours => {
    const own = all.filter(loss => loss.ours === ours)
    const columns = quantities.filter(({ short }) => own.some(({ quantity }) => quantity === short))
    const rows = matrix.works.map(({ name }) => [name, ...columns.map(({ short }) => better(own, name, short))])
    const lost = rows.filter(([, ...fields]) => fields.some(field => field !== ''))
    return `**${ours}** is behind\n\n${markdown([['at', ...columns.map(({ short }) => `in ${short}`)], ...lost])}`
  })
  return tables.join('\n\n')
}

function better(own: readonly Loss[], work: string, quantity: string): string {
  return own
    .filter(loss => loss.work === work && loss.quantity === quantity)
    .sort((one, other) => other.times - one.times)
    .map(({ peer, times, isApart }) => `${peer} ${isApart ? '' : '~ '}${number(times)} ×`)
    .join('; ')
}

/** The first row is the head; the first column is text, figures stand to the right. */
export function markdown(table: readonly string[][]): string {
  const line = (fields: readonly string[]) => `| ${fields.map(field => field.replaceAll('|', '\\|')).join(' | ')} |`
  const [head = [], ...rows] = table
  const isFigure = (column: number) =>
    column > 0 && rows.every(row => /^[\d–]|^$|^failed|^not run/.test(row[column] ?? ''))
  const rule = head.map((_, column) => (isFigure(column) ? '--:' : '---'))
  return [line(head), `|${rule.join('|')}|`, ...rows.map(line)].join('\n')
}
