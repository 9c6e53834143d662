/**
 * Commands that wait for a turn: a line for each instance, served in rounds, so that who asks much waits behind itself and not others behind it.
 * Within an instance the order is that of arrival; between instances there is none to keep.
 */
import type { Arrival } from './callers.ts'

/** How many one instance is served before it is the next one's turn: few enough to be fair, and enough to stay within one state. */
const COMMANDS_PER_ROUND = 64

type Lane = {
  arrivals: Arrival[]
  /** The first that has not been taken. */
  next: number
  /** As many were there when the taking began. */
  due: number
}

export class Lanes {
  #lanes = new Map<string, Lane>()
  #count = 0

  get length(): number {
    return this.#count
  }

  push(arrival: Arrival): void {
    const lane = this.#lanes.get(arrival.instance)
    if (lane) lane.arrivals.push(arrival)
    else this.#lanes.set(arrival.instance, { arrivals: [arrival], next: 0, due: 0 })
    this.#count++
  }

  /** Hands out what is there until `isFull`; what `take` itself adds is for the next time. */
  drain(take: (arrival: Arrival) => void, isFull: () => boolean): void {
    let round = [...this.#lanes.entries()]
    for (const [, lane] of round) lane.due = lane.arrivals.length
    while (round.length > 0 && !isFull()) {
      const rest: typeof round = []
      for (const entry of round) {
        const [, lane] = entry
        for (let count = 0; count < COMMANDS_PER_ROUND && lane.next < lane.due && !isFull(); count++) {
          this.#count--
          take(lane.arrivals[lane.next++]!)
        }
        if (lane.next < lane.due) rest.push(entry)
      }
      round = rest
    }
    this.#tidy()
  }

  /** Those that are meant; the others stay in their order. */
  takeIf(isMeant: (arrival: Arrival) => boolean): Arrival[] {
    const all = this.takeAll()
    for (const arrival of all) if (!isMeant(arrival)) this.push(arrival)
    return all.filter(isMeant)
  }

  /** All of them, and none is left. */
  takeAll(): Arrival[] {
    const all = [...this.#lanes.values()].flatMap(({ arrivals, next }) => arrivals.slice(next))
    this.#lanes = new Map()
    this.#count = 0
    return all
  }

  /** Whoever has been served stands behind whoever has not. */
  #tidy(): void {
    for (const [instance, lane] of [...this.#lanes]) {
      if (lane.next === 0) continue
      this.#lanes.delete(instance)
      if (lane.next === lane.arrivals.length) continue
      this.#lanes.set(instance, { arrivals: lane.arrivals.slice(lane.next), next: 0, due: 0 })
    }
  }
}
