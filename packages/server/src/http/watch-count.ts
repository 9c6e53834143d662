/** How many watches an instance has open, over all doors. */
import { WATCHES_MAX } from '@holdfast/protocol/limits'

export class WatchCount {
  readonly #open = new Map<string, number>()

  /** False when the instance has as many as it may have; else one more is open until `close`. */
  open(instance: string): boolean {
    const count = this.#open.get(instance) ?? 0
    if (count >= WATCHES_MAX) return false
    this.#open.set(instance, count + 1)
    return true
  }

  close(instance: string): void {
    this.#open.set(instance, Math.max(0, (this.#open.get(instance) ?? 0) - 1))
  }
}
