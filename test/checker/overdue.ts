/**
 * I8: what the passing of time ends is ended in its time: a lock-delay, a promise to somebody who has lost its grant, a wait with a limit, a longest hold,
 * a notice; and who is first in line for what is free is granted it. Judged by what an owner itself writes: an end that is late in two of its batches, far apart, is one that it does not see. So no pause,
 * outage or slow store is taken for that. Sessions are not judged here: what renews them is not in the log.
 */
import { type Judge, Violation } from './judge.ts'

/** Between the first batch in which an end is late and the one in which it is a violation, on the shard's clock. Timers are exact to 50 ms. */
const LATE_MS = 2_000

/** Who could be granted something is looked for this often, on the shard's clock: it costs more than the rest. */
const LOOK_MS = 250

type Due = { what: string; dueMs: number }

export class Overdue {
  #epoch = 0
  /** When each was seen to be late first. */
  #late = new Map<string, number>()
  #grantable = new Map<string, number>()
  #lookedMs = 0

  /** Of one instance, after a batch. */
  wrote(judge: Judge, { epoch, now }: { epoch: number; now: number }): void {
    if (epoch !== this.#epoch) {
      this.#late = new Map()
      this.#grantable = new Map()
    }
    this.#epoch = epoch
    this.#late = stillThere(ends(judge), this.#late, now)
    if (now - this.#lookedMs < LOOK_MS) return
    this.#lookedMs = now
    this.#grantable = stillThere(grants(judge, now), this.#grantable, now)
  }
}

/** What is due, and since when that has been seen. @throws Violation if that is too long */
function stillThere(due: Iterable<Due>, before: ReadonlyMap<string, number>, now: number): Map<string, number> {
  const late = new Map<string, number>()
  for (const { what, dueMs } of due) {
    if (dueMs > now) continue
    const sinceMs = before.get(what) ?? now
    if (now - sinceMs >= LATE_MS) throw new Violation(`I8: ${what} was due at ${dueMs}, and is there at ${now}`)
    late.set(what, sinceMs)
  }
  return late
}

function* grants(judge: Judge, now: number): Generator<Due> {
  for (const { ticket, claims } of judge.grantable())
    yield { what: `the grant of ${claims.map(({ lock }) => lock)} to wait ${ticket}`, dueMs: now }
}

function* ends({ grants, delays, waiters, sessions }: Judge): Generator<Due> {
  for (const [lock, ofLock] of delays)
    for (const { token, session, change, delayUntilMs, promiseUntilMs } of ofLock.values()) {
      const holder = sessions.get(session)
      const isPromised = holder !== undefined && holder.seenChanges < change
      const dueMs = isPromised ? Math.max(delayUntilMs, promiseUntilMs) : delayUntilMs
      yield { what: `the delay of ${lock} after ${token}`, dueMs }
    }
  for (const { ticket, sinceMs, waitMs } of waiters.values())
    if (waitMs !== null) yield { what: `wait ${ticket}`, dueMs: sinceMs + waitMs }
  for (const [lock, ofLock] of grants)
    for (const { token, sinceMs, maxHoldMs, notice } of ofLock.values()) {
      if (maxHoldMs > 0) yield { what: `the longest hold of ${lock} under ${token}`, dueMs: sinceMs + maxHoldMs }
      if (notice) yield { what: `the notice to the holder of ${lock} under ${token}`, dueMs: notice.endsMs }
    }
}
