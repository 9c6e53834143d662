/**
 * Virtual time: what is to happen, in order. Nothing waits: time jumps to the next event. After each event everything that it has made
 * runnable runs to its end before the next one, as in a process between two turns of its loop; so a run is the same each time.
 */

type Event = { atMs: number; number: number; call: (() => void) | null }

export type Cancel = () => void

/** Turns that are asked for at once: all promises settle between two of them, and the real loop looks for files and sockets, of which there are none, after all. */
const TURNS_AT_ONCE = 1_024

export class Schedule {
  nowMs = 0
  events = 0
  /** Rolling digest of when what ran: two runs of one seed have the same. */
  digest = 0
  #heap: Event[] = []
  #numbers = 0
  #failure: { error: unknown } | null = null

  /** Calls back at that moment of virtual time; moments of the past are now. */
  at(atMs: number, call: () => void): Cancel {
    const event: Event = { atMs: Math.max(atMs, this.nowMs), number: ++this.#numbers, call }
    this.#push(event)
    return () => {
      event.call = null
    }
  }

  after(delayMs: number, call: () => void): Cancel {
    return this.at(this.nowMs + delayMs, call)
  }

  /** Ends the run: what happened must not happen. */
  fail(error: unknown): void {
    this.#failure ??= { error }
  }

  /** Resolves when `isOver`, or when there is nothing left to happen before `untilMs`. Rejects with what an event throws or `fail` was given. */
  run({ untilMs, isOver }: { untilMs: number; isOver: () => boolean }): Promise<void> {
    return new Promise((resolve, reject) => {
      let isDone = false
      let asked = 0
      const done = (end: () => void) => {
        isDone = true
        end()
      }
      const turn = () => {
        asked--
        if (isDone) return
        try {
          if (this.#failure) throw this.#failure.error
          if (isOver() || !this.#step(untilMs)) return done(resolve)
        } catch (error) {
          return done(() => reject(error))
        }
        if (asked === 0) ask()
      }
      const ask = () => {
        for (; asked < TURNS_AT_ONCE; asked++) setImmediate(turn)
      }
      ask()
    })
  }

  #step(untilMs: number): boolean {
    for (;;) {
      const event = this.#heap[0]
      if (!event || event.atMs > untilMs) {
        this.nowMs = Math.max(this.nowMs, Math.min(untilMs, event?.atMs ?? this.nowMs))
        return false
      }
      this.#pop()
      if (!event.call) continue
      this.nowMs = event.atMs
      this.events++
      this.digest = (Math.imul(this.digest, 31) + event.number + Math.floor(event.atMs * 1_000)) | 0
      event.call()
      return true
    }
  }

  #push(event: Event): void {
    const heap = this.#heap
    let place = heap.push(event) - 1
    while (place > 0) {
      const parent = (place - 1) >> 1
      if (isBefore(heap[parent]!, event)) break
      heap[place] = heap[parent]!
      place = parent
    }
    heap[place] = event
  }

  #pop(): void {
    const heap = this.#heap
    const last = heap.pop()
    if (!last || heap.length === 0) return
    let place = 0
    for (;;) {
      let child = 2 * place + 1
      if (child >= heap.length) break
      if (child + 1 < heap.length && isBefore(heap[child + 1]!, heap[child]!)) child++
      if (isBefore(last, heap[child]!)) break
      heap[place] = heap[child]!
      place = child
    }
    heap[place] = last
  }
}

function isBefore(one: Event, other: Event): boolean {
  return one.atMs < other.atMs || (one.atMs === other.atMs && one.number < other.number)
}
