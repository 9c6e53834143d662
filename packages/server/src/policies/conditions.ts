/** Conditions of a policy: all must hold. Each is a sentence when it does not. */
import type { Action } from '@holdfast/protocol/operation'
import type { Conditions, PolicyRecord } from '../registry/records.ts'
import { type Block, isWithin, parseBlock } from './addresses.ts'
import type { Question } from './port.ts'

const DAY_MINUTES = 24 * 60
const MINUTE_MS = 60_000
/** 1 January 1970 was a Thursday; days count from Sunday, 0. */
const EPOCH_DAY = 4

type Asked = Omit<Question, 'lock' | 'isPrefix'>
/** null: holds. */
export type Check = (question: Asked) => string | null

/** Actions whose requests may name one; for the others the condition says nothing, or nobody could release what is limited. */
const withTtl: ReadonlySet<Action> = new Set([
  'session.open',
  'session.renew',
  'lock.acquire',
  'lock.renew',
  'election.campaign',
])
const withPriority: ReadonlySet<Action> = new Set(['lock.acquire', 'election.campaign'])
const withPreempt: ReadonlySet<Action> = new Set(['lock.acquire', 'lock.preempt', 'election.campaign'])
const withLabels: ReadonlySet<Action> = new Set(['lock.acquire', 'election.campaign'])
/** A renewal that names no TTL keeps the one that has been permitted. */
const keepsTtl: ReadonlySet<Action> = new Set(['session.renew', 'lock.renew'])

const severity = { never: 0, graceful: 1, immediate: 2 } as const

/** Said when the TTL is not known, and compared by identity: the door then finds it out. */
export const ttlUnknown = 'The policy limits the TTL, and that of the session is not known.'

/** Those that only look at where and when come first: they hold for a question without its body too. */
export function compileConditions(conditions: PolicyRecord['conditions']): Check[] {
  const { hours, sources, maxTtlMs, maxPriority, preempt, labels } = conditions
  const checks: Check[] = []
  if (hours) checks.push(hoursCheck(hours))
  if (sources) checks.push(sourcesCheck(sources))
  if (maxTtlMs !== undefined) checks.push(ttlCheck(maxTtlMs))
  if (maxPriority !== undefined) {
    checks.push(({ action, isEarly, priority = 0 }) =>
      isEarly || !withPriority.has(action) || priority <= maxPriority
        ? null
        : `The priority may be ${maxPriority} at most.`,
    )
  }
  if (preempt !== undefined) {
    checks.push(({ action, isEarly, preempt: asked = 'never' }) =>
      isEarly || !withPreempt.has(action) || severity[asked] <= severity[preempt]
        ? null
        : `\`preempt\` may be \`${preempt}\` at most.`,
    )
  }
  if (labels) checks.push(labelsCheck(labels))
  return checks
}

function ttlCheck(maxTtlMs: number): Check {
  return ({ action, isEarly, ttlMs }) => {
    if (isEarly || !withTtl.has(action)) return null
    if (ttlMs === undefined) return keepsTtl.has(action) ? null : ttlUnknown
    return ttlMs <= maxTtlMs ? null : `The TTL may be ${maxTtlMs} ms at most.`
  }
}

function labelsCheck(labels: Readonly<Record<string, string>>): Check {
  const wanted = Object.entries(labels)
  return ({ action, isEarly, labels: given }) => {
    if (isEarly || !withLabels.has(action)) return null
    const missing = wanted.find(([key, value]) => !given || !Object.hasOwn(given, key) || given[key] !== value)
    return missing ? `The request needs the label \`${missing[0]}\` with the value \`${missing[1]}\`.` : null
  }
}

function sourcesCheck(sources: readonly string[]): Check {
  // What is no block lets nobody in.
  const blocks = sources.map(parseBlock).filter((block): block is Block => block !== null)
  return ({ address }) => (isWithin(blocks, address) ? null : 'The address is not one that the policy permits.')
}

function hoursCheck({ days, fromMinute, toMinute }: NonNullable<Conditions['hours']>): Check {
  return ({ atMs }) => {
    const minutes = Math.floor(atMs / MINUTE_MS)
    const minute = minutes % DAY_MINUTES
    const day = Math.floor(minutes / DAY_MINUTES) + EPOCH_DAY
    const isOn = (index: number) => days === undefined || days.includes(index % 7)
    // From 22:00 to 6:00 on Friday: Saturday's first six hours belong to Friday.
    const isIn =
      fromMinute < toMinute
        ? isOn(day) && minute >= fromMinute && minute < toMinute
        : (isOn(day) && minute >= fromMinute) || (isOn(day - 1) && minute < toMinute)
    return isIn ? null : 'It is not within the hours (UTC) that the policy permits.'
  }
}
