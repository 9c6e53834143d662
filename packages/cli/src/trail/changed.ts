/** What was written, in a few words for a terminal; `--json` and exports have all of it. */
import { short } from '../output.ts'
import type { Changed } from './record.ts'

/** Of one line: so much that it can be seen what it is about. */
export const CHANGED_CHARS_MAX = 240

/** `policy p-1: subjects key:k-1; roles manager; locks *`. What says nothing is left out: nothing given, no description. */
export function changedText(changed: readonly Changed[]): string {
  return short(changed.map(wordsOf).join(' | '), CHANGED_CHARS_MAX)
}

function wordsOf({ kind, id, value = {}, is_removed, is_left_out }: Changed): string {
  const name = `${kind} ${id}`
  if (is_removed) return `${name} removed`
  if (is_left_out) return `${name}: too large to be told`
  const fields = Object.entries(value).filter(([, field]) => !isEmpty(field))
  return `${name}: ${fields.map(([field, said]) => `${field} ${inWords(said)}`).join('; ')}`
}

function isEmpty(field: unknown): boolean {
  return field === '' || (typeof field === 'object' && field !== null && Object.keys(field).length === 0)
}

function inWords(said: unknown): string {
  if (Array.isArray(said) && said.every(one => typeof one === 'string')) return said.join(' ')
  return typeof said === 'string' ? said : JSON.stringify(said)
}
