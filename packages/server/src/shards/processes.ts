/** Which process wrote a member record, and whether it is surely gone: then nobody needs to wait for its record to lapse. */
import { readFileSync, readlinkSync } from 'node:fs'

export type ProcessFacts = {
  pid: number
  /** Of this boot of the machine; null where the system does not say. */
  bootId: string | null
  /** Pids mean something only within their namespace. */
  pidNamespace: string | null
  /** Tells a process from a later one under the same pid. */
  processStart: string | null
}

export interface Processes {
  own(): ProcessFacts
  /** `unknown`: another machine, another container, or a system that does not say. */
  stateOf(facts: ProcessFacts): 'alive' | 'gone' | 'unknown'
}

/** By the files of Linux's /proc; elsewhere nothing is known, and a start after a crash waits its two seconds. */
export const systemProcesses: Processes = {
  own: () => factsOfProcess(process.pid),
  stateOf(facts) {
    const isHere = facts.bootId !== null && facts.bootId === bootId() && facts.pidNamespace === pidNamespace()
    if (!isHere || facts.pidNamespace === null || facts.processStart === null) return 'unknown'
    return startOf(facts.pid) === facts.processStart ? 'alive' : 'gone'
  },
}

/** Of a process of this machine, to know it again. */
export function factsOfProcess(pid: number): ProcessFacts {
  return { pid, bootId: bootId(), pidNamespace: pidNamespace(), processStart: startOf(pid) }
}

function bootId(): string | null {
  return attempt(() => readFileSync('/proc/sys/kernel/random/boot_id', 'utf8').trim())
}

function pidNamespace(): string | null {
  return attempt(() => readlinkSync('/proc/self/ns/pid'))
}

/** Field 22 of `stat`; the second field is a name in parentheses that may contain anything. A zombie no longer runs. */
function startOf(pid: number): string | null {
  const stat = attempt(() => readFileSync(`/proc/${pid}/stat`, 'utf8'))
  const fields = stat?.slice(stat.lastIndexOf(')') + 2).split(' ')
  if (!fields || fields[0] === 'Z' || fields[0] === 'X') return null
  return fields[19] ?? null
}

/** What cannot be read is not known, for whatever reason. */
function attempt(read: () => string): string | null {
  try {
    return read()
  } catch {
    return null
  }
}
