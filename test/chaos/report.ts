/** What people read: a line while a scenario runs, and a table of those that have run. */
import type { Result, Spread } from './result.ts'
import type { Rig } from './rig.ts'
import type { Scenario } from './scenario.ts'

const PROGRESS_MS = 1_000

export function progressOf({ id, name }: Scenario, seconds: number) {
  const beganMs = performance.now()
  const isTerminal = process.stderr.isTTY
  let doing = ''
  let rig: Rig | null = null
  const line = () => {
    const passed = Math.round((performance.now() - beganMs) / 1_000)
    const seen = rig ? `${rig.faults.length} faults, ${rig.recorded.length} entries in the log` : ''
    return `${id} ${name}: ${doing}, ${passed} s (of ${seconds} and some), ${seen}`
  }
  const timer = setInterval(() => {
    if (isTerminal) process.stderr.write(`\r\x1b[K${line()}`)
  }, PROGRESS_MS)
  return {
    of: (started: Rig) => {
      rig = started
    },
    tell: (what: string) => {
      doing = what
      if (!isTerminal) process.stderr.write(`${line()}\n`)
    },
    end: () => {
      clearInterval(timer)
      if (isTerminal) process.stderr.write('\r\x1b[K')
    },
  }
}

export function table(results: readonly Result[]): string {
  return results.map(rowOf).join('\n')
}

function rowOf(result: Result): string {
  const { id, name, outcome, why, operations, unknown, faults, staleRefused, nextGrantMs, latenessMs } = result
  const head = `${id.padStart(3)}  ${outcome.padEnd(7)}  ${name}`
  if (outcome === 'not run') return `${head}: ${why.join('; ')}`
  const struck = Object.entries(faults).map(([kind, count]) => `${count}× ${kind}`)
  const violations = Object.entries(result.violations).map(([invariant, count]) => `${invariant} ${count}`)
  const lines = [
    head,
    `     ${operations} operations, ${unknown} of unknown outcome, ${staleRefused} stale writes refused; ${struck.join(', ') || 'no fault'}`,
    `     next grant ${spread(nextGrantMs)}${result.boundMs ? ` (bound ${result.boundMs} ms)` : ''}; expiry late by ${spread(latenessMs)}; violations: ${violations.join(', ') || 'none'}${countedOf(result)}${undecidedOf(result)}`,
  ]
  return [...lines, ...why.map(text => `     ! ${text}`)].join('\n')
}

/** What was to be expected there. */
function countedOf({ counted }: Result): string {
  const all = Object.entries(counted).map(([invariant, count]) => `${invariant} ${count}`)
  return all.length === 0 ? '' : `; outside of what is assumed: ${all.join(', ')}`
}

/** Histories of a lock for which the search was given up: nothing is said of them but what the other judges say. */
function undecidedOf({ details }: Result): string {
  return details.undecided ? `; I12 undecided for ${details.undecided} locks` : ''
}

function spread({ count, p50, p99, max }: Spread): string {
  return count === 0 ? '–' : `p50 ${p50}, p99 ${p99}, max ${max} ms (${count})`
}
