/** Which records are asked for; and which batches cannot hold any of them, as is seen before they are parsed. */
import type { AuditRecord, Outcome } from './record.ts'

export type AuditFilter = {
  instance: string
  /**
   * Beside those of the instance, for who looks after the service: records that concern no instance; what became of instances, those too that are gone;
   * and who presented what proves nobody, whosever key it was.
   */
  includesService?: boolean
  lock?: string
  /** What names of locks start with. */
  prefix?: string
  /** Who did it, or whose session it befell. */
  subject?: string
  action?: string
  outcome?: Outcome
  /** Wall time, ms: from then on, and before then. */
  sinceMs?: number
  untilMs?: number
}

/** Clocks of servers differ: this much beyond the times that are asked for is looked at. */
export const CLOCK_SLACK_MS = 60_000

export function accepts(filter: AuditFilter, record: AuditRecord, atMs: number): boolean {
  const { instance, includesService, lock, prefix, subject, action, outcome, sinceMs, untilMs } = filter
  if (record.instance !== instance && !(includesService && isOfService(record))) return false
  if (lock !== undefined && !concerns(record.target, lock)) return false
  if (prefix !== undefined && !isUnder(record.target, prefix)) return false
  if (subject !== undefined && record.subject !== subject && record.affected !== subject) return false
  if (action !== undefined && record.action !== action) return false
  if (outcome !== undefined && record.outcome !== outcome) return false
  return (sinceMs === undefined || atMs >= sinceMs) && (untilMs === undefined || atMs < untilMs)
}

function isOfService({ instance, action }: AuditRecord): boolean {
  return instance === undefined || action === 'authenticate' || action.startsWith('instance.')
}

/** A freeze of a prefix concerns every lock under it. */
function concerns(target: string, lock: string): boolean {
  return target === `lock/${lock}` || (target.startsWith('prefix/') && lock.startsWith(target.slice('prefix/'.length)))
}

function isUnder(target: string, prefix: string): boolean {
  if (target.startsWith('lock/')) return target.startsWith(`lock/${prefix}`)
  return target.startsWith('prefix/') && (target.startsWith(`prefix/${prefix}`) || concerns(target, prefix))
}

/** Whether the text of a batch may tell of what is asked for. Looking through text is many times quicker than parsing it. */
export function mayHold(filter: AuditFilter, text: string): boolean {
  const { instance, lock, prefix, subject, outcome } = filter
  // What the log tells has happened.
  if (outcome !== undefined && outcome !== 'success') return false
  if (!text.includes(quoted(instance))) return false
  if (subject !== undefined && subject !== 'service' && !text.includes(quoted(subject))) return false
  const isOfFreeze = text.includes('"freeze"')
  if (lock !== undefined && !isOfFreeze && !text.includes(quoted(lock))) return false
  return prefix === undefined || prefix === '' || isOfFreeze || text.includes(quoted(prefix).slice(0, -1))
}

/** As it stands in the log. */
function quoted(text: string): string {
  return JSON.stringify(text)
}
