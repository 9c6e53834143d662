import type { Bug } from './bug.ts'

/** The text with the bug in it. Throws when what is to be replaced is not there exactly once: the table is stale. */
export function planted(text: string, bug: Bug): string {
  const parts = text.split(bug.find)
  if (parts.length !== 2)
    throw new Error(`${bug.id} is stale: its text occurs ${parts.length - 1} times in ${bug.file}`)
  return parts.join(bug.replace)
}
