/**
 * How long a holder may believe that it holds.
 *
 * The obvious answer, "until the TTL in the reply has passed", fails three ways: the reply was late, so the server began to count
 * earlier than the client; the two clocks run at different rates; the machine slept. So the client counts from *before it
 * handed the request to the transport*, expects its clock to be wrong by a tenth in the worse direction, and stops a little earlier
 * still. What is left lies inside what the server has promised, whatever the network did in between (SAFETY sections 2 and 4).
 *
 * Belief is the session's: one reply that confers time extends everything the session holds. Two things limit it. A grant whose
 * end is known (a longest hold, a notice of preemption) has a limit of its own. And a reply whose `changes` is above what has been
 * processed extends nothing: something ended or is about to end, and the push that said so may have been lost.
 */
import { deadlineAfter, type Instant, remainingMs } from './clock.ts'

/** How far two clocks' rates may be apart: chrony slews by up to 8.3 %, Linux allows 10. */
const DRIFT = 0.1
const SURELY = (1 - DRIFT) / (1 + DRIFT)
/** From the check to the act, and the grain of the boot clock. */
const GUARD_MS_MAX = 250
const GUARD_OF_TTL = 1 / 20
/** Below this part of its deadline a lock is at risk. */
const RISK_PART = 1 / 3
/** However long a longest hold, this is enough to finish in. */
const WARNING_MS_MAX = 10_000

export function guardMs(ttlMs: number): number {
  return Math.min(GUARD_MS_MAX, ttlMs * GUARD_OF_TTL)
}

/** How long a reply confers belief, from before its request was sent. `waitedMs` is what the owner measured until the grant. */
export function beliefMs({ ttlMs, waitedMs = 0 }: { ttlMs: number; waitedMs?: number }): number {
  return (waitedMs + ttlMs) * SURELY - guardMs(ttlMs)
}

/** The same for a grant that ends, by what the owner said, `endsInMs` after it decided the reply. */
export function endBeliefMs({
  endsInMs,
  ttlMs,
  waitedMs = 0,
}: {
  endsInMs: number
  ttlMs: number
  waitedMs?: number
}): number {
  return (waitedMs + endsInMs) * SURELY - guardMs(ttlMs)
}

/** How long before the end of a hold that is believed for so long its holder should hear of it. */
export function warningMs(lastsMs: number): number {
  return Math.max(0, Math.min(WARNING_MS_MAX, lastsMs * RISK_PART))
}

/** The later of two deadlines that are both proven, as seen from `now`. */
export function later(first: Instant, second: Instant, now: Instant): Instant {
  return remainingMs(first, now) >= remainingMs(second, now) ? first : second
}

/** What a session may believe. It only remembers; the session asks and acts. */
export class Belief {
  ttlMs: number
  #deadline: Instant | null = null
  #since: Instant | null = null
  #lastsMs = 0
  /** Notices and ends of which all consequences have been drawn. */
  processedChanges = 0

  constructor(ttlMs: number) {
    this.ttlMs = ttlMs
  }

  /** A new session: nothing is believed, nothing has changed. */
  restart(ttlMs: number, changes: number): void {
    this.ttlMs = ttlMs
    this.#deadline = null
    this.#since = null
    this.processedChanges = changes
  }

  /** Draws what a conferring reply proves. Returns false when its `changes` forbid it. */
  confer(proof: { since: Instant; ttlMs: number; waitedMs: number; changes: number }, now: Instant): boolean {
    if (proof.changes > this.processedChanges) return false
    const lastsMs = beliefMs(proof)
    // Most replies of one frame prove the same.
    if (proof.since === this.#since && lastsMs <= this.#lastsMs) return true
    const deadline = deadlineAfter(proof.since, lastsMs)
    if (this.#deadline === null || remainingMs(deadline, now) > remainingMs(this.#deadline, now)) {
      this.#deadline = deadline
      this.#since = proof.since
      this.#lastsMs = lastsMs
      this.ttlMs = proof.ttlMs
    }
    return true
  }

  /** 0 or less: nothing may be believed. */
  remainingMs(now: Instant): number {
    return this.#deadline === null ? 0 : remainingMs(this.#deadline, now)
  }

  /** For so long the session lives on at the service, at the least; without limit as long as nothing has been conferred. */
  restMs(now: Instant): number {
    return this.#deadline === null ? Number.POSITIVE_INFINITY : this.remainingMs(now)
  }

  /** When less than this remains, holders should know. */
  riskMs(): number {
    return beliefMs({ ttlMs: this.ttlMs }) * RISK_PART
  }
}
