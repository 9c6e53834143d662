/** The one timer of a session: set to the earliest moment that anybody asked for. It wakes up; what is due, the woken one finds out by the clocks. */
import type { Cancel, Clock } from './clock.ts'

export class Alarm {
  readonly #clock: Clock
  readonly #ring: () => void
  #atMs = Number.POSITIVE_INFINITY
  #cancel: Cancel = () => {}
  #isStopped = false

  constructor(clock: Clock, ring: () => void) {
    this.#clock = clock
    this.#ring = ring
  }

  /** Sees to it that it rings within `delayMs` of `nowMs`. */
  within(delayMs: number, nowMs: number): void {
    if (this.#isStopped || this.#atMs <= nowMs + delayMs) return
    this.#cancel()
    this.#atMs = nowMs + delayMs
    this.#cancel = this.#clock.after(delayMs, () => {
      this.#atMs = Number.POSITIVE_INFINITY
      this.#ring()
    })
  }

  stop(): void {
    this.#isStopped = true
    this.#cancel()
  }
}
