/**
 * What can go wrong between a server and its store, as switches with rates. Deterministic: the same seed and the same calls give
 * the same faults, and all that takes time goes through the clock that is handed in.
 */

export type FaultRates = {
  /** A commit is applied, and the caller gets an error. */
  replyLost: number
  /** A commit is not applied, and the caller gets an error that does not say so. */
  lostBefore: number
  /** A commit that has been answered is applied once more, up to `duplicateMsMax` later: from a stopped member's socket. */
  lateDuplicate: number
  /** A commit is refused for good: `storage_full`. */
  refused: number
  /** A commit or read takes up to `delayMsMax`. */
  delayed: number
  /** A read or listing shows what was true up to `staleCommitsMax` commits ago, with the revision of that time. */
  stale: number
  /** A watch does not say what happened. */
  watchDropped: number
  /** A watch says that something happened although nothing has. */
  watchLied: number
}

export type FaultPlan = {
  seed: number
  rates: Partial<FaultRates>
  delayMsMax?: number
  duplicateMsMax?: number
  staleCommitsMax?: number
}

export type FaultCounts = Record<keyof FaultRates, number>

export const DELAY_MS_MAX_DEFAULT = 200
export const DUPLICATE_MS_MAX_DEFAULT = 60_000
export const STALE_COMMITS_MAX_DEFAULT = 20

export class Faults {
  readonly counts: FaultCounts = {
    replyLost: 0,
    lostBefore: 0,
    lateDuplicate: 0,
    refused: 0,
    delayed: 0,
    stale: 0,
    watchDropped: 0,
    watchLied: 0,
  }
  readonly #plan: FaultPlan
  #state: number

  constructor(plan: FaultPlan) {
    this.#plan = plan
    this.#state = plan.seed | 0
  }

  /** Whether the fault strikes now; counted when it does. */
  strikes(fault: keyof FaultRates): boolean {
    const rate = this.#plan.rates[fault] ?? 0
    // No draw for a switch that is off: turning one on must not change what the others do.
    if (rate <= 0 || this.#draw() >= rate) return false
    this.counts[fault]++
    return true
  }

  delayMs(): number {
    return this.#draw() * (this.#plan.delayMsMax ?? DELAY_MS_MAX_DEFAULT)
  }

  duplicateMs(): number {
    return this.#draw() * (this.#plan.duplicateMsMax ?? DUPLICATE_MS_MAX_DEFAULT)
  }

  staleCommits(): number {
    return 1 + Math.floor(this.#draw() * (this.#plan.staleCommitsMax ?? STALE_COMMITS_MAX_DEFAULT))
  }

  /** Mulberry32: small, and good enough to choose faults by. */
  #draw(): number {
    this.#state = (this.#state + 0x6d2b79f5) | 0
    let mixed = Math.imul(this.#state ^ (this.#state >>> 15), 1 | this.#state)
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32
  }
}
