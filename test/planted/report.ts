/** What was found, as a page of the docs. */
import type { Found } from './find.ts'

export function report(found: readonly Found[]): string {
  const rows = found.map(({ bug, verdict, ms }) => {
    const finder = verdict === 'found' ? `\`${bug.test.file}\`: ${bug.test.name}` : `**${verdict}**`
    const cells = [`\`${bug.id}\``, bug.listed ?? '', bug.rules.join(' '), bug.does, finder, String(ms)]
    return `| ${cells.map(cell => cell.replaceAll('|', '\\|')).join(' | ')} |`
  })
  return ['| bug | listed | breaks | what it would do | found by | ms |', '|---|---|---|---|---|---|', ...rows].join(
    '\n',
  )
}
