/** What all that are compared have in common: a lock by name, and how it is given back. */
import { readFileSync } from 'node:fs'
import type { Cycle } from '../measure.ts'

export type Grant = { release(): Promise<unknown> }

export type Peer = {
  name: string
  /** What survives what, and what is not promised. */
  durability: string
  /** How one who finds the lock held comes to have it; null: it does not wait, so what is about waiting has no meaning. */
  waiting: string | null
  /** `worker` is the number of the loop that asks; each has one lock at a time. */
  acquire(lock: string, worker: number): Promise<Grant>
  /** Those of its servers, at present. */
  processes(): number[]
  /** What has been made durable until now, or why that is not known. */
  commits: (() => Promise<number>) | string
  close(): Promise<void>
}

/** Acquire and release of a lock that nobody else wants. */
export function cycleOf(acquire: Peer['acquire']): Cycle {
  return async worker => {
    const grant = await acquire(`bench/${worker}`, worker)
    await grant.release()
  }
}

/** The process and those that it has started, as /proc knows them. */
export function familyOf(pid: number): number[] {
  try {
    const children = readFileSync(`/proc/${pid}/task/${pid}/children`, 'utf8')
    return [pid, ...children.split(' ').filter(Boolean).map(Number)]
  } catch {
    // No such file system: what cannot be measured is said to be unknown where it is measured.
    return [pid]
  }
}
