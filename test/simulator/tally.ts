/** What many seeds have come to, for people. */
import type { Figures } from './world.ts'

export class Tally {
  seeds = 0
  /** Seeds with a history of a lock for which the search was given up: of it nothing has been shown. */
  readonly undecided: number[] = []
  /** Seeds with a history that does not fit into the order of the log: no violation by itself, and to be looked at. */
  readonly searched: number[] = []
  #cpuMs = 0
  readonly #startedMs = performance.now()
  readonly #sums = new Map<string, number>()
  readonly #faults = new Map<string, number>()
  readonly #outcomes = new Map<string, number>()

  add(seed: number, { faults, outcomes, digest, ...sums }: Figures, cpuMs: number): void {
    void digest
    this.seeds++
    if (sums.undecided > 0) this.undecided.push(seed)
    if (sums.searched > 0) this.searched.push(seed)
    this.#cpuMs += cpuMs
    addTo(this.#sums, sums)
    addTo(this.#faults, faults)
    addTo(this.#outcomes, outcomes)
  }

  line(): string {
    const seconds = (performance.now() - this.#startedMs) / 1_000
    const operations = this.#sums.get('operations') ?? 0
    const cpuMs = Math.round(this.#cpuMs / Math.max(1, this.seeds))
    return `${this.seeds} seeds green, ${operations} operations, ${Math.round(seconds)} s (${(this.seeds / seconds).toFixed(1)} seeds/s, ${cpuMs} ms of CPU a seed)`
  }

  report(): string {
    return [
      this.line(),
      textOf('sums  ', this.#sums),
      textOf('faults', this.#faults),
      textOf('told  ', this.#outcomes),
      ...this.searched.map(seed => `searched  a history of seed ${seed} does not fit into the order of the log (I12)`),
      ...this.undecided.map(
        seed => `undecided  a history of seed ${seed} is too long to be judged (I12): it is not green`,
      ),
    ].join('\n')
  }
}

function addTo(sums: Map<string, number>, more: Record<string, number>): void {
  for (const [name, number] of Object.entries(more)) sums.set(name, (sums.get(name) ?? 0) + number)
}

function textOf(title: string, sums: Map<string, number>): string {
  return `${title}  ${[...sums].map(([name, sum]) => `${name} ${sum}`).join(', ')}`
}
