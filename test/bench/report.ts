/** What a question answers: rows of figures, and what was promised of them. */
export type Row = { name: string; value: number; unit: string; spread?: [number, number]; note?: string }

/** `target` is what the issue asks for; `isMet` null: it could not be judged in this run, and `note` says why. */
export type Verdict = { claim: string; value: number; target: string; isMet: boolean | null; note?: string }

export type Report = { question: string; about: string; rows: Row[]; verdicts: Verdict[]; notRun?: string[] }

export function number(value: number): string {
  if (!Number.isFinite(value)) return '–'
  if (Math.abs(value) >= 1000) return Math.round(value).toLocaleString('en-US')
  return Number(value.toPrecision(3)).toString()
}

export function print(report: Report): void {
  console.log(`\n${report.question}`)
  console.log(`  ${report.about}`)
  const width = Math.max(...report.rows.map(row => row.name.length), 10)
  for (const { name, value, unit, spread, note } of report.rows) {
    const range = spread ? `  (${number(spread[0])} – ${number(spread[1])})` : ''
    console.log(`  ${name.padEnd(width)}  ${number(value).padStart(10)} ${unit}${range}${note ? `  ${note}` : ''}`)
  }
  for (const missing of report.notRun ?? []) console.log(`  not run: ${missing}`)
  for (const { claim, value, target, isMet, note } of report.verdicts) {
    const mark = isMet === null ? '?' : isMet ? '✔' : '✖'
    console.log(`  ${mark} ${claim}: ${number(value)} (wanted: ${target})${note ? ` — ${note}` : ''}`)
  }
}
