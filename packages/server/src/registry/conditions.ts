/** Conditions of policies as the wire has them, and back: hours are minutes of the day in the records. */
import { toCamel, toSnake } from '@holdfast/protocol/casing'
import type { WireConditions } from '@holdfast/protocol/v2-administration-schemas'
import type { Conditions } from './records.ts'

const MINUTES_PER_HOUR = 60

export function wireConditions({ hours, ...rest }: Conditions): WireConditions {
  // The same fields, in the wire's spelling.
  const spelled = toSnake(rest) as WireConditions
  if (hours === undefined) return spelled
  const { fromMinute, toMinute, ...days } = hours
  return { ...spelled, hours: { ...days, from: clockTimeOf(fromMinute), to: clockTimeOf(toMinute) } }
}

export function conditionsFrom({ hours, ...rest }: WireConditions): Conditions {
  if (hours === undefined) return toCamel(rest)
  const { from, to, ...days } = hours
  return { ...toCamel(rest), hours: { ...days, fromMinute: minuteOf(from), toMinute: minuteOf(to) } }
}

function clockTimeOf(minute: number): string {
  const two = (number: number) => String(number).padStart(2, '0')
  return `${two(Math.floor(minute / MINUTES_PER_HOUR))}:${two(minute % MINUTES_PER_HOUR)}`
}

/** The schema has seen to its form. */
function minuteOf(text: string): number {
  const [hour = 0, minute = 0] = text.split(':').map(Number)
  return hour * MINUTES_PER_HOUR + minute
}
