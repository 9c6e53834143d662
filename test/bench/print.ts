/** A report for people, on the terminal. */
import { number, type Report } from './report.ts'
import { printMatrix } from './side-by-side/table.ts'

export function print(report: Report): void {
  console.log(`\n${report.question}`)
  console.log(`  ${report.about}`)
  const width = Math.max(...report.rows.map(row => row.name.length), 10)
  for (const { name, value, unit, spread, note } of report.rows) {
    const range = spread ? `  (${number(spread[0])} – ${number(spread[1])})` : ''
    console.log(`  ${name.padEnd(width)}  ${number(value).padStart(10)} ${unit}${range}${note ? `  ${note}` : ''}`)
  }
  if (report.matrix) printMatrix(report.matrix)
  for (const missing of report.notRun ?? []) console.log(`  not run: ${missing}`)
  for (const { claim, value, target, isMet, note } of report.verdicts) {
    const mark = isMet === null ? '?' : isMet ? '✔' : '✖'
    console.log(`  ${mark} ${claim}: ${number(value)} (wanted: ${target})${note ? ` — ${note}` : ''}`)
  }
}
