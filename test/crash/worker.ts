/** Looks at one point after another. A process of its own, as what a lying disk leaves may take the process with it that maps it. */

import { digestsOf } from './expected.ts'
import type { Point } from './points.ts'
import { load } from './recording.ts'
import { recoverAt } from './recover.ts'

export type Looked = { point: Point; revision: number | null; violation: string | null }

const [, , file = '', folder = ''] = process.argv
const recording = load(file)
const prepared = { recording, digests: recording.commits.map(digestsOf) }

process.on('message', (point: Point) => {
  void look(point).then(looked => process.send?.(looked))
})
process.on('disconnect', () => process.exit(0))
process.send?.('ready')

async function look(point: Point): Promise<Looked> {
  try {
    return { point, revision: await recoverAt(prepared, point, folder), violation: null }
  } catch (error) {
    // Whatever it ends with, the store has not come back.
    const violation = error instanceof Error ? `${error.name}: ${error.message}` : String(error)
    return { point, revision: null, violation }
  }
}
