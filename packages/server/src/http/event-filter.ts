/**
 * Lets through the events that may be seen, in their order. Nearly always that is decided at once; where decisions have to be fetched, the events
 * after the first wait, and a watch that waits for too many is cut off, to be resumed by its cursor. So is one of which it is not known whether it may see an
 * event: what it may see must not be missing.
 */
import type { LockEvent } from '@holdfast/protocol/events'
import type { Verdict } from '../policies/port.ts'
import { InOrder } from './in-order.ts'

/** Of one watch. */
export const UNDECIDED_EVENTS_MAX = 1_000

type Options = {
  /** A decision point does not reject: what it cannot decide is unknown. */
  sees(event: LockEvent): Verdict | Promise<Verdict>
  /** False: the client reads too slowly. */
  deliver(event: LockEvent): boolean
  /** The watch cannot go on: called once. */
  cut(): void
}

export class EventFilter {
  readonly #options: Options
  readonly #order: InOrder<LockEvent, Verdict>
  #isCut = false

  constructor(options: Options) {
    this.#options = options
    this.#order = new InOrder({
      ask: event => this.#isCut || options.sees(event),
      take: (event, isSeen) => this.#take(event, isSeen),
    })
  }

  /** False: the watch ends. */
  offer(event: LockEvent): boolean {
    if (this.#isCut) return false
    if (this.#order.waiting >= UNDECIDED_EVENTS_MAX) this.#cutOff()
    else this.#order.add(event)
    return !this.#isCut
  }

  #take(event: LockEvent, isSeen: Verdict): void {
    if (this.#isCut) return
    if (isSeen === null || (isSeen && !this.#options.deliver(event))) this.#cutOff()
  }

  #cutOff(): void {
    this.#isCut = true
    this.#options.cut()
  }
}
