/** Mutants that were looked at and that no test can notice, each with the reason. Found again by the text of their line, wherever it has moved to. */
import type { Mutant } from './mutants.ts'

export type Equivalent = {
  file: string
  /** The whole line, without the blanks around it. */
  line: string
  operator: string
  /** What stands there in the mutant; absent: whatever the operator makes of this line. */
  to?: string
  reason: string
}

const page = {
  file: 'packages/server/src/locks/operating.ts',
  line: 'if (found.length < keep * 2) continue',
  reason: 'How often what has been found is cut to the page; the page is cut in any case.',
}

export const equivalents: readonly Equivalent[] = [
  { ...page, operator: 'condition' },
  { ...page, operator: 'comparison' },
  { ...page, operator: 'arithmetic' },
]

export function isEquivalent(mutant: Mutant, lines: readonly string[]): boolean {
  const line = lines[mutant.line - 1]?.trim()
  return equivalents.some(
    one =>
      one.file === mutant.file &&
      one.line === line &&
      one.operator === mutant.operator &&
      (one.to === undefined || one.to === mutant.to),
  )
}
