/** Plants bugs one after another and says of each whether its test has found it. */
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import type { Bug } from './bug.ts'
import { type Outcome, root, run } from './run.ts'
import { planted } from './text.ts'

export type Verdict =
  /** The test failed with an assertion while the bug was there. */
  | 'found'
  /** The test passed. */
  | 'survived'
  /** What the bug replaces is not in the file any more. */
  | 'stale'
  /** The test says that this machine lacks what it needs: nothing is known of the bug. */
  | 'skipped here'
  /** The test fails without any bug, or cannot be run. */
  | 'red without it'
  /** The process of the test never loaded the file. */
  | 'never planted'
  /** It ended by an error that is no assertion, or did not end. */
  | 'not judged'

export type Found = { bug: Bug; verdict: Verdict; message: string; ms: number }

export async function* findAll(bugs: readonly Bug[]): AsyncGenerator<Found> {
  const greens = new Map<string, Promise<Found | null>>()
  for (const bug of bugs) {
    const stale = staleness(bug)
    if (stale) {
      yield { bug, verdict: 'stale', message: stale, ms: 0 }
      continue
    }
    const key = JSON.stringify(bug.test)
    const green = greens.get(key) ?? withoutBug(bug)
    greens.set(key, green)
    const before = await green
    yield before ? { ...before, bug } : await find(bug)
  }
}

/** Why the row does not fit the sources any more; null if it does. */
export function staleness(bug: Bug): string | null {
  try {
    planted(readFileSync(join(root, bug.file), 'utf8'), bug)
    return null
  } catch (error) {
    return error instanceof Error ? error.message : String(error)
  }
}

/** Null when the test is green as it is. */
async function withoutBug(bug: Bug): Promise<Found | null> {
  const { end, message } = await run(bug.test, null)
  if (end === 'green') return null
  return { bug, verdict: end === 'skipped' ? 'skipped here' : 'red without it', message: `${end}: ${message}`, ms: 0 }
}

/** Runs the test with the bug in it. */
export async function find(bug: Bug): Promise<Found> {
  const { end, message, ms, isPlanted } = await run(bug.test, bug)
  return { bug, verdict: verdictOf(end, isPlanted), message, ms }
}

function verdictOf(end: Outcome['end'], isPlanted: boolean): Verdict {
  if (end === 'skipped') return 'skipped here'
  if (!isPlanted) return 'never planted'
  if (end === 'assertion') return 'found'
  return end === 'green' ? 'survived' : 'not judged'
}
