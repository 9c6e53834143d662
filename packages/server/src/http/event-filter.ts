/**
 * Lets through the events that may be seen, in their order. Nearly always that is decided at once; where a decision has to be fetched, the events
 * after it wait, and a watch that waits for too many is cut off, to be resumed by its cursor. So is one of which it is not known whether it may see an
 * event: what it may see must not be missing.
 */
import type { LockEvent } from '@holdfast/protocol/events'
import type { Verdict } from '../policies/port.ts'

/** Of one watch. */
export const UNDECIDED_EVENTS_MAX = 1_000

type Options = {
  sees(event: LockEvent): Verdict | Promise<Verdict>
  /** False: the client reads too slowly. */
  deliver(event: LockEvent): boolean
  /** The watch cannot go on: called once. */
  cut(): void
}

export class EventFilter {
  readonly #options: Options
  #waiting: LockEvent[] | null = null
  #isCut = false

  constructor(options: Options) {
    this.#options = options
  }

  /** False: the watch ends. */
  offer(event: LockEvent): boolean {
    if (this.#isCut) return false
    if (this.#waiting) {
      this.#waiting.push(event)
      return this.#waiting.length <= UNDECIDED_EVENTS_MAX || this.#cutOff()
    }
    const sees = this.#options.sees(event)
    if (sees === null) return this.#cutOff()
    if (!(sees instanceof Promise)) return !sees || this.#options.deliver(event)
    this.#waiting = []
    // A decision point does not reject: what it cannot decide is unknown.
    void this.#drain(event, sees)
    return true
  }

  async #drain(first: LockEvent, sees: Promise<Verdict>): Promise<void> {
    const waiting = this.#waiting ?? []
    let isSeen: Verdict | Promise<Verdict> = sees
    for (let event: LockEvent | undefined = first; event; event = waiting.shift()) {
      if (event !== first) isSeen = this.#options.sees(event)
      const isNow = await isSeen
      if (this.#isCut) return
      if (isNow === null || (isNow && !this.#options.deliver(event))) return void this.#cutOff()
    }
    this.#waiting = null
  }

  #cutOff(): false {
    this.#isCut = true
    this.#waiting = null
    this.#options.cut()
    return false
  }
}
