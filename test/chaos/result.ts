/** What one run has come to: figures, and whether it passed. */
import { declaredDead, unexplained } from './ended.ts'
import type { Expiry, Judgement } from './judging.ts'
import type { Fault, Rig } from './rig.ts'
import type { Played, Scenario } from './scenario.ts'

export type Spread = { count: number; p50: number; p99: number; max: number }

export type Result = {
  id: string
  name: string
  outcome: 'passed' | 'failed' | 'not run'
  /** Why it failed, or was not run. */
  why: string[]
  seed: number
  seconds: number
  operations: number
  unknown: number
  faults: Record<string, number>
  staleRefused: number
  /** Violations where what is assumed does not hold. */
  counted: Record<string, number>
  nextGrantMs: Spread
  latenessMs: Spread
  boundMs: number | null
  violations: Record<string, number>
  details: Record<string, number>
  counts: Record<string, number>
}

export function spreadOf(values: readonly number[]): Spread {
  const sorted = values.toSorted((one, other) => one - other)
  const at = (share: number) => Math.round(sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * share))] ?? 0)
  return { count: sorted.length, p50: at(0.5), p99: at(0.99), max: at(1) }
}

/**
 * How long after each fault the first acquire was granted that had been begun after it; one that never was counts as for ever. Of faults that came
 * before anything was granted again the last counts: the service has had no time in between.
 */
export function nextGrants(faults: readonly Fault[], acquires: Judgement['acquires']): number[] {
  return faults.flatMap(({ atMs, healedMs, isAnsweredDuring }, place) => {
    const fromMs = isAnsweredDuring ? atMs : (healedMs ?? atMs)
    let firstMs = Number.POSITIVE_INFINITY
    for (const { calledMs, returnedMs } of acquires) if (calledMs >= fromMs) firstMs = Math.min(firstMs, returnedMs)
    const next = faults[place + 1]
    return next !== undefined && next.atMs < firstMs ? [] : [firstMs - fromMs]
  })
}

/** Without a fault a session that nobody renews is over at most so long after its promise. */
const LATE_MS_MAX = 1_000
/** What a fault has broken may take that long to be whole, where the scenario has no bound of its own. */
const SETTLED_MS = 15_000

type Course = { faults: readonly Fault[]; boundMs: number | undefined; slack: number }

/**
 * I9, the other half: nobody is kept for long after the promise is over. Where something was broken meanwhile there is the bound of the scenario, and
 * a TTL more: a new owner gives each session the whole of its own.
 */
export function tooLate(expiries: readonly Expiry[], { faults, boundMs, slack }: Course): string[] {
  const settledMs = boundMs ?? SETTLED_MS
  return expiries.flatMap(({ fromMs, ttlMs, atMs, lateMs }) => {
    const isBroken = faults.some(
      fault => fault.atMs <= atMs && (fault.healedMs ?? Number.POSITIVE_INFINITY) + settledMs >= fromMs,
    )
    const maxMs = isBroken ? (boundMs ?? Number.POSITIVE_INFINITY) + ttlMs : LATE_MS_MAX * slack
    const what = isBroken ? 'something was broken' : 'nothing was broken'
    if (lateMs <= maxMs) return []
    return [
      `I9: a session was ended ${Math.round(lateMs)} ms after its promise; ${what} meanwhile, and the bound is ${maxMs} ms`,
    ]
  })
}

/** What a run has done, each of which a judge needs something of. */
type Shown = Readonly<Record<string, number>>

/** What nobody broke, and was not kept all the same: that something was done and seen, and what the scenario says it expects. */
function fallsShort(scenario: Scenario, shown: Shown, { next, unknown }: { next: Spread; unknown: number }): string[] {
  const { boundMs, unknownMax = Number.POSITIVE_INFINITY } = scenario
  const why = Object.entries(shown).flatMap(([what, count]) => (count > 0 ? [] : [`void: no ${what}`]))
  if (boundMs !== undefined && next.count === 0) why.push('void: no grant was timed, and there is a bound')
  if (boundMs !== undefined && !(next.max <= boundMs))
    why.push(`the next grant came after ${next.max} ms, and the bound is ${boundMs} ms`)
  if (unknown > unknownMax) why.push(`${unknown} operations of unknown outcome, and at most ${unknownMax} are expected`)
  return why
}

export function resultOf(scenario: Scenario, rig: Rig, judgement: Judgement): Result {
  const { figures, counts, expiries, acquires } = judgement
  const isCounted = ({ invariant }: { invariant: string }) => scenario.counted?.includes(invariant) === true
  const found = judgement.violations.filter(one => !isCounted(one))
  const nextGrantMs = spreadOf(nextGrants(rig.faults, acquires))
  const operations = counts.operations ?? 0
  const unknown = counts['failed unavailable'] ?? 0
  const { beliefs, watched, seen, undecided } = figures
  const shown = { operations, beliefs, watched, seen }
  const why = [
    ...found.slice(0, 5).map(({ what }) => what.slice(0, 600)),
    ...fallsShort(scenario, scenario.isFaultless ? shown : { ...shown, faults: rig.faults.length }, {
      next: nextGrantMs,
      unknown,
    }),
    ...tooLate(expiries, { faults: rig.faults, boundMs: scenario.boundMs, slack: rig.options.slack }),
    ...unexplained(rig.ended, endsOf(scenario, rig)).map(({ place, why }) => `server ${place} ended by itself: ${why}`),
  ]
  if (undecided > 0) why.push(`I12: undecided for ${undecided} locks: the search was given up`)
  const { batches, takeovers, carried, cleaned } = rig.log.counts
  return {
    id: scenario.id,
    name: scenario.name,
    outcome: why.length > 0 ? 'failed' : 'passed',
    why,
    seed: rig.options.seed,
    seconds: rig.options.seconds,
    operations,
    unknown,
    faults: { ...tally(rig.faults.map(({ kind }) => kind)), ...fatesOf(rig) },
    staleRefused: figures.refused,
    counted: tally(judgement.violations.filter(isCounted).map(({ invariant }) => invariant)),
    nextGrantMs,
    latenessMs: spreadOf(expiries.map(({ lateMs }) => lateMs)),
    boundMs: scenario.boundMs ?? null,
    violations: tally(found.map(({ invariant }) => invariant)),
    details: {
      ...figures,
      batches,
      takeovers,
      carried,
      cleaned,
      serversEnded: rig.ended.length,
      recorderReopened: rig.recorder?.reopened ?? 0,
      ...rig.measured,
    },
    counts,
  }
}

/** Of one that had a rig of its own. */
export function resultOfPlay(
  scenario: Scenario,
  played: Played,
  { seed, seconds }: Pick<Result, 'seed' | 'seconds'>,
): Result {
  const { violations, counts, faults, refused, details } = played
  const nextGrantMs = spreadOf(played.nextGrantMs)
  const operations = counts.operations ?? 0
  const unknown = counts['failed unavailable'] ?? 0
  const struck = Object.values(faults).reduce((sum, count) => sum + count, 0)
  const why = [
    ...violations.slice(0, 5).map(({ what }) => what.slice(0, 600)),
    ...fallsShort(scenario, { operations, faults: struck }, { next: nextGrantMs, unknown }),
  ]
  return {
    id: scenario.id,
    name: scenario.name,
    outcome: why.length > 0 ? 'failed' : 'passed',
    why,
    seed,
    seconds,
    operations,
    unknown,
    faults,
    staleRefused: refused,
    counted: {},
    nextGrantMs,
    latenessMs: spreadOf([]),
    boundMs: scenario.boundMs ?? null,
    violations: tally(violations.map(({ invariant }) => invariant)),
    details,
    counts,
  }
}

/** On a machine that is busy with other things, as `slack` says that it is, a server may get no time for as long as others wait for it. */
function endsOf({ ends }: Scenario, { options: { slack } }: Rig): RegExp | undefined {
  if (slack <= 1) return ends
  return ends ? new RegExp(`${ends.source}|${declaredDead.source}`) : declaredDead
}

/** Of commits, where the links to the store know them. */
function fatesOf({ links }: Rig): Record<string, number> {
  const { pass: _passed, ...struck } = links.fates
  return Object.fromEntries(Object.entries(struck).map(([fate, count]) => [nameOf(fate), count]))
}

function nameOf(fate: string): string {
  return fate.startsWith('old ') ? `${fate} read` : `commits ${fate.replace('_', ' ')}`
}

export function tally(what: readonly string[]): Record<string, number> {
  const counts: Record<string, number> = {}
  for (const one of what) counts[one] = (counts[one] ?? 0) + 1
  return counts
}
