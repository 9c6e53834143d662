/** Refusals of what is not decided. They rest on nothing that is to become durable, so they leave at once: a refusal must cost less than what it refuses. */
import { HoldfastError } from '@holdfast/protocol/errors'
import type { Clock } from '../clock.ts'
import type { Refusal } from '../locks/model.ts'
import { type Arrival, NotTaken } from './callers.ts'

export class Refusals {
  readonly #clock: Pick<Clock, 'afterPoll'>
  #untold: { arrival: Arrival; refusal: Refusal }[] = []

  constructor(clock: Pick<Clock, 'afterPoll'>) {
    this.#clock = clock
  }

  /** When whoever asked has what `submit` returns. 'unknown': on what terms it is to be served. */
  tell(arrival: Arrival, refusal: Refusal | HoldfastError | 'unknown'): Arrival {
    if (refusal === 'unknown') this.#clock.afterPoll(() => arrival.fail(new NotTaken()))
    else if (refusal instanceof HoldfastError) this.#clock.afterPoll(() => arrival.fail(refusal))
    else if (this.#untold.push({ arrival, refusal }) === 1) this.#clock.afterPoll(() => this.#tellAll())
    return arrival
  }

  #tellAll(): void {
    const untold = this.#untold
    this.#untold = []
    for (const { arrival, refusal } of untold) arrival.answer(refusal)
  }
}
