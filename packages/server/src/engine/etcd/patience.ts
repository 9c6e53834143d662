/** How long one attempt is waited for: briefly at first, half as long again after each that was given up, briefly again after an answer. */
const ATTEMPT_MS_MIN = 500
const ATTEMPT_MS_MAX = 5_000
const GROWTH = 1.5

export class Patience {
  #ms = ATTEMPT_MS_MIN

  get ms(): number {
    return this.#ms
  }

  answered(): void {
    this.#ms = ATTEMPT_MS_MIN
  }

  gaveUp(): void {
    this.#ms = Math.min(ATTEMPT_MS_MAX, this.#ms * GROWTH)
  }
}
