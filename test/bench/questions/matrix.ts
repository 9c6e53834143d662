/** How does the same work go with everybody that people use for it? */
import type { ContenderId } from '../peers/contenders.ts'
import type { Report } from '../report.ts'
import { everybody, matrix } from '../side-by-side/matrix.ts'
import { works } from '../side-by-side/works.ts'

/** So short that a whole run stays within a quarter of an hour; so many that a median means something. */
const FULL = { rounds: 5, seconds: 1.2 }
const QUICK = { rounds: 1, seconds: 0.25 }

export async function sideBySide({
  isQuick,
  peers,
}: {
  isQuick: boolean
  peers?: readonly ContenderId[]
}): Promise<Report> {
  const result = await matrix({ contenders: peers ?? everybody, works, ...(isQuick ? QUICK : FULL) })
  return {
    question: 'Side by side',
    about:
      'One client process, which runs all the loops, and all servers on the same cores; rounds interleaved; medians, in brackets the range.',
    rows: [],
    verdicts: [],
    matrix: result,
    notRun: result.notRun.map(({ why }) => why),
  }
}
