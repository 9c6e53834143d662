/** How old a view of the records is; asked for every request, so that the answer must cost next to nothing. */
import { type Clock, type Instant, instant, most } from '../clock.ts'

/** A view of the records that is older than this is no ground for a decision. */
export const VIEW_MS_MAX = 10_000
/** For so long it is not computed anew … */
const LOOK_AGAIN_MS = 100
/** … unless the wall clock has moved by this against the monotonic one, as it does when the machine was suspended. */
const WALL_MOVED_MS = 50

export class Freshness {
  readonly #clock: Clock
  /** When the newest answer of the store was asked for. */
  #seen: Instant | null = null
  #untilMs = 0
  #wallAheadMs = 0

  constructor(clock: Clock) {
    this.#clock = clock
  }

  saw(asked: Instant): void {
    this.#seen = asked
  }

  now(): Instant {
    return instant(this.#clock)
  }

  get isFresh(): boolean {
    if (this.#seen === null) return false
    const nowMs = this.#clock.hrtimeMs()
    const wallAheadMs = this.#clock.wallMs() - nowMs
    // The time since boot is read from a file (25 µs).
    if (nowMs < this.#untilMs && Math.abs(wallAheadMs - this.#wallAheadMs) < WALL_MOVED_MS) return true
    const spareMs = VIEW_MS_MAX - most(this.#clock, this.#seen)
    this.#untilMs = nowMs + Math.min(spareMs, LOOK_AGAIN_MS)
    this.#wallAheadMs = wallAheadMs
    return spareMs >= 0
  }
}
