/**
 * How long one attempt is waited for. Half a second at first, so that a member that is stopped costs no more; half as long again after
 * each attempt that was given up, or a store that is slow would be asked ever more often and answer ever later; and after an answer
 * at least three times what that one took, so that a store which stays slow is not given up each first time.
 */
const ATTEMPT_MS_MIN = 500
const ATTEMPT_MS_MAX = 5_000
const GROWTH = 1.5
const SLACK = 3

export class Patience {
  #ms = ATTEMPT_MS_MIN

  get ms(): number {
    return this.#ms
  }

  answered(tookMs: number): void {
    this.#ms = Math.max(ATTEMPT_MS_MIN, Math.min(this.#ms, tookMs * SLACK))
  }

  /**
   * An attempt was given up after `waitedMs`. Many are under way at once, and all of them are lost with a leader: what they show together is one thing,
   * so only the first that waited as long as is waited now counts. Else an election would be followed by a wait of seconds.
   */
  gaveUp(waitedMs: number): void {
    if (waitedMs < this.#ms) return
    this.#ms = Math.min(ATTEMPT_MS_MAX, this.#ms * GROWTH)
  }
}
