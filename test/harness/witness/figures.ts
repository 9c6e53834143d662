/** How long operations took, and for how long each lock went without one that succeeded. */

export type Percentiles = { count: number; p50: number; p99: number; max: number }

/** From a moment on: when each key was served again. */
export class Mark {
  readonly sinceMs: number
  readonly #waiting: Set<string>
  #latestMs = 0

  constructor(sinceMs: number, keys: Iterable<string>) {
    this.sinceMs = sinceMs
    this.#waiting = new Set(keys)
  }

  /** The first operation that began afterwards and succeeded: one that was under way may have been served before. */
  succeeded(key: string, { beganMs, endedMs }: { beganMs: number; endedMs: number }): void {
    if (beganMs >= this.sinceMs && this.#waiting.delete(key)) this.#latestMs = Math.max(this.#latestMs, endedMs)
  }

  /** When the last of them was, in ms after the mark; null while one still waits. */
  get servedAgainMs(): number | null {
    return this.#waiting.size > 0 ? null : Math.max(0, this.#latestMs - this.sinceMs)
  }

  get unserved(): string[] {
    return [...this.#waiting]
  }
}

export class Figures {
  readonly #keys = new Set<string>()
  readonly #operations: { endedMs: number; ms: number }[] = []
  readonly #marks: Mark[] = []

  /** Known from now on, so that one who never succeeds is missed. */
  expect(key: string): void {
    this.#keys.add(key)
  }

  succeeded(key: string, beganMs: number): void {
    const endedMs = performance.now()
    this.#operations.push({ endedMs, ms: endedMs - beganMs })
    for (const mark of this.#marks) mark.succeeded(key, { beganMs, endedMs })
  }

  get count(): number {
    return this.#operations.length
  }

  mark(): Mark {
    const mark = new Mark(performance.now(), this.#keys)
    this.#marks.push(mark)
    return mark
  }

  /** Of operations that ended since then. */
  latencies(fromMs: number): Percentiles {
    const all = this.#operations.filter(({ endedMs }) => endedMs >= fromMs).map(({ ms }) => ms)
    all.sort((one, other) => one - other)
    const at = (share: number) => all[Math.min(all.length - 1, Math.floor(all.length * share))] ?? 0
    return { count: all.length, p50: at(0.5), p99: at(0.99), max: all.at(-1) ?? 0 }
  }
}
