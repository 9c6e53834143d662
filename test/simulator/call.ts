import type { Operation } from '../checker/linear.ts'

type Learning = {
  nowMs(): number
  /** What has been learned of an operation that was pushed. */
  learned?(operation: Operation): void
}

/** `askedMs`: when it was asked for the first time. */
export type Refusal = { operation: number; why: string; askedMs: number }

/** One operation of a history, from its call on. Until it is known how it ended it may have been done, or not. */
export class Call {
  readonly #operation: Operation
  readonly #stage: Learning

  constructor(history: { push(operation: Operation): unknown }, stage: Learning, deed: Operation['deed']) {
    this.#stage = stage
    this.#operation = { deed, calledMs: stage.nowMs(), returnedMs: Number.POSITIVE_INFINITY, isOptional: true }
    history.push(this.#operation)
  }

  get calledMs(): number {
    return this.#operation.calledMs
  }

  ends(deed: Operation['deed']): void {
    this.#operation.deed = deed
    this.#operation.returnedMs = this.#stage.nowMs()
    this.#operation.isOptional = false
    this.#stage.learned?.(this.#operation)
  }

  /** Nothing has been done, and nothing was learned. */
  isVoid(): void {
    this.#operation.deed = { does: 'nothing' }
    this.#stage.learned?.(this.#operation)
  }
}
