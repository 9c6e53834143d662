/** Those who want to know that something has changed. What they are told is a hint: the changes themselves they read. */
import type { Write } from '../engine.ts'

export class Watchers {
  readonly #all = new Set<(writes: readonly Write[]) => void>()
  #isOver = false

  async *watch({ prefix, signal }: { prefix: string; signal: AbortSignal }): AsyncIterable<void> {
    let news = false
    let wake: (() => void) | null = null
    const awake = () => {
      wake?.()
      wake = null
    }
    const hear = (writes: readonly Write[]) => {
      if (!writes.some(write => ('from' in write ? write.to > prefix : write.key.startsWith(prefix)))) return
      news = true
      awake()
    }
    this.#all.add(hear)
    signal.addEventListener('abort', awake)
    try {
      while (!signal.aborted && !this.#isOver) {
        if (news) {
          news = false
          yield
        } else await new Promise<void>(resolve => (wake = resolve))
      }
    } finally {
      this.#all.delete(hear)
      signal.removeEventListener('abort', awake)
    }
  }

  tell(writes: readonly Write[]): void {
    for (const hear of this.#all) hear(writes)
  }

  /** All watches end. */
  end(): void {
    this.#isOver = true
    this.tell([{ from: '', to: '\u{10ffff}', delete: true }])
  }
}
