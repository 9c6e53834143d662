/** A second clock, for tests of the session's state machine: time passes when the test says so. Turns of the event loop are the real ones. */
import type { Clock } from '../clock.ts'

type Timer = { atMs: number; callback: () => void }

/** Time that stands still between the test's steps. `suspend` passes time that the monotonic clock does not see. */
export class ManualClock implements Clock {
  #nowMs = 1_000
  #suspendedMs = 0
  #timers = new Set<Timer>()

  now() {
    return { monotonicMs: this.#nowMs, bootMs: this.#nowMs + this.#suspendedMs }
  }

  monotonicMs() {
    return this.#nowMs
  }

  wallMs() {
    return this.#nowMs
  }

  after(delayMs: number, callback: () => void) {
    const timer = { atMs: this.#nowMs + delayMs, callback }
    this.#timers.add(timer)
    return () => void this.#timers.delete(timer)
  }

  afterTurn(callback: () => void) {
    setImmediate(callback)
  }

  suspend(ms: number) {
    this.#suspendedMs += ms
  }

  /** Time passes while the loop is stalled: no timer runs. */
  stall(ms: number) {
    this.#nowMs += ms
  }

  async advance(ms: number) {
    const endMs = this.#nowMs + ms
    for (;;) {
      const [next] = [...this.#timers].filter(timer => timer.atMs <= endMs).sort((one, other) => one.atMs - other.atMs)
      if (!next) break
      this.#timers.delete(next)
      this.#nowMs = Math.max(this.#nowMs, next.atMs)
      next.callback()
      await turn()
    }
    this.#nowMs = endMs
    await turn()
  }
}

/** Lets everything that is runnable run. */
export async function turn(): Promise<void> {
  for (let round = 0; round < 3; round++) await new Promise(resolve => setImmediate(resolve))
}
