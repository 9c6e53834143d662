/** Times as people say them: only what means one moment, since `Date` makes a time of almost anything (`5` is a May, `45` a 1945). */
import { InvalidArgumentError } from 'commander'

const ISO = /^(\d{4}-\d\d-\d\d)(T\d\d:\d\d(:\d\d(\.\d+)?)?(Z|[+-]\d\d:\d\d)?)?$/

/** A date alone is its midnight in UTC; a time without a zone is of this machine's. `undefined`: it is no time. */
export function timeOf(text: string): Date | undefined {
  const [, day] = ISO.exec(text) ?? []
  // A 31st of a month that has none would be taken for the 1st of the next.
  if (day === undefined || !isDay(day)) return undefined
  const time = new Date(text)
  return Number.isNaN(time.getTime()) ? undefined : time
}

export function parseTime(text: string): string {
  const time = timeOf(text)
  if (!time) throw new InvalidArgumentError('Say a time like 2026-11-21T06:00:00Z, or a day like 2026-11-21.')
  return time.toISOString()
}

function isDay(day: string): boolean {
  const midnight = new Date(`${day}T00:00:00Z`)
  return !Number.isNaN(midnight.getTime()) && midnight.toISOString().startsWith(day)
}
