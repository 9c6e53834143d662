/** Policies, as the verbs `policy` and `iam` show them. */
import { facts, labelsText, printJson, printLine, safe } from '../output.ts'

type Conditions = {
  maxTtlMs?: number
  maxPriority?: number
  preempt?: string
  hours?: { days?: number[]; from: string; to: string }
  sources?: string[]
  labels?: Record<string, string>
}
export type PolicyView = {
  id: string
  description: string
  subjects: string[]
  roles: string[]
  locks: string[]
  conditions: Conditions
}

export function printPolicy(view: PolicyView, { json = false }: { json?: boolean }): void {
  if (json) return printJson(view)
  printLine(
    facts([
      ['id', view.id],
      ['description', safe(view.description)],
      ['who', view.subjects.map(safe).join(' ')],
      ['roles', view.roles.join(' ')],
      ['locks', view.locks.map(safe).join(' ')],
      ['conditions', conditionsText(view.conditions)],
    ]),
  )
}

export function conditionsText({ maxTtlMs, maxPriority, preempt, hours, sources, labels }: Conditions): string {
  return [
    maxTtlMs === undefined ? '' : `ttl ≤ ${maxTtlMs} ms`,
    maxPriority === undefined ? '' : `priority ≤ ${maxPriority}`,
    preempt === undefined ? '' : `preempt ≤ ${preempt}`,
    hours === undefined ? '' : `${hours.from}–${hours.to} UTC${hours.days ? ` on days ${hours.days.join(',')}` : ''}`,
    sources === undefined ? '' : `from ${sources.map(safe).join(' ')}`,
    labelsText(labels),
  ]
    .filter(text => text !== '')
    .join(', ')
}
