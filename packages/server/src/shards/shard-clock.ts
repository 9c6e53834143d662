/**
 * The clock of a shard, which is the `now` of the core. It goes on from where the log left it, never back, and never faster than real time;
 * it is the `least` of SAFETY section 2, used for everything that takes something away from somebody else.
 *
 * It advances by ticks. Each adds what has passed, but no more than `TICK_MS_MAX`: if more has passed, the process or the machine was paused,
 * and the renewals that would have come lie unread in the sockets. And a tick adds nothing while the owner's own deadline has passed,
 * for then it could not have answered a renewal (no quorum, a stopped disk). This cap is the whole of the pause detection.
 */
import type { Clock } from '../clock.ts'

/** How often it ticks: fine enough for a TTL of half a second, coarse enough to cost nothing. */
export const TICK_MS = 50
/** The most that one tick counts: twice its length, so that a late timer costs nobody time, and a pause at most this. */
export const TICK_MS_MAX = 100

export class ShardClock {
  readonly #clock: Clock
  readonly #isWithinDeadline: () => boolean
  #baseMs: number
  #tickedAtMs: number
  #highestMs: number

  constructor(options: { clock: Clock; startMs: number; isWithinDeadline: () => boolean }) {
    this.#clock = options.clock
    this.#isWithinDeadline = options.isWithinDeadline
    this.#baseMs = options.startMs
    this.#highestMs = options.startMs
    this.#tickedAtMs = options.clock.hrtimeMs()
  }

  /** Returns by how much the tick came too late. */
  tick(): number {
    const nowMs = this.#clock.hrtimeMs()
    const elapsedMs = nowMs - this.#tickedAtMs
    if (this.#isWithinDeadline()) this.#baseMs += Math.min(elapsedMs, TICK_MS_MAX)
    this.#tickedAtMs = nowMs
    return Math.max(0, elapsedMs - TICK_MS)
  }

  /** Whole ms. Between ticks what has passed since the last one counts, under the same cap; a reading is never below one before it. */
  now(): number {
    const sinceMs = Math.min(this.#clock.hrtimeMs() - this.#tickedAtMs, TICK_MS_MAX)
    const reading = Math.floor(this.#baseMs + sinceMs)
    if (reading > this.#highestMs) this.#highestMs = reading
    return this.#highestMs
  }
}
