/** Things that have to be answered within the same time, each: one timer for all of them, and none while there are none. */
import type { Clock } from '../../clock.ts'

export class Deadlines<Item> {
  readonly #clock: Clock
  readonly #ms: number
  readonly #late: (item: Item) => void
  /** In the order of their deadlines. */
  readonly #due = new Map<Item, number>()
  #cancel: (() => void) | null = null

  constructor({ clock, ms, late }: { clock: Clock; ms: number; late: (item: Item) => void }) {
    this.#clock = clock
    this.#ms = ms
    this.#late = late
  }

  add(item: Item): void {
    this.#due.set(item, this.#clock.hrtimeMs() + this.#ms)
    this.#cancel ??= this.#clock.after(this.#ms, this.#look)
  }

  /** Answered. The timer is left to look at what has come since. */
  delete(item: Item): void {
    this.#due.delete(item)
  }

  stop(): void {
    this.#cancel?.()
    this.#due.clear()
  }

  readonly #look = () => {
    this.#cancel = null
    const nowMs = this.#clock.hrtimeMs()
    for (const [item, dueMs] of this.#due) {
      if (dueMs > nowMs) {
        this.#cancel ??= this.#clock.after(dueMs - nowMs, this.#look)
        return
      }
      this.#due.delete(item)
      this.#late(item)
    }
  }
}
