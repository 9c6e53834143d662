/**
 * Which instances of a shard have something due, and when. A shard has up to ten thousand of them, nearly all of which rest; so time does not go
 * round and ask each, with every tick, whether something of it is due. Whoever has something says so here, once for each slot of time, and
 * only those are looked at.
 */
import type { Timers } from './timers.ts'

/** Width of a slot: nothing is more than this late because of it. */
const SLOT_MS = 50

export class Agenda {
  readonly #slots = new Map<number, Set<Timers>>()
  /** Those with freezes. These end by the calendar, which may be set at any time: they are looked at with every tick. */
  readonly #frozen = new Set<Timers>()
  #next: number

  constructor(nowMs: number) {
    this.#next = Math.floor(nowMs / SLOT_MS)
  }

  /** In which slot what is due then is looked at: never one that is over. */
  slotOf(dueMs: number): number {
    return Math.max(this.#next, Math.ceil(dueMs / SLOT_MS))
  }

  /** They have something in that slot. */
  add(slot: number, timers: Timers): void {
    const those = this.#slots.get(slot)
    if (those) those.add(timers)
    else this.#slots.set(slot, new Set([timers]))
  }

  /** They have nothing in that slot any more. */
  remove(slot: number, timers: Timers): void {
    const those = this.#slots.get(slot)
    those?.delete(timers)
    if (those?.size === 0) this.#slots.delete(slot)
  }

  /** In how many slots somebody has something. */
  get count(): number {
    return this.#slots.size
  }

  setFrozen(timers: Timers, isFrozen: boolean): void {
    if (isFrozen) this.#frozen.add(timers)
    else this.#frozen.delete(timers)
  }

  /** Hands over the slots that have come, in order, and those that look at the calendar. */
  take(nowMs: number, each: { due(timers: Timers, slot: number): void; frozen(timers: Timers): void }): void {
    const last = Math.floor(nowMs / SLOT_MS)
    while (this.#next <= last) {
      // Before it is looked at: what is put in again meanwhile goes into a later one.
      const slot = this.#next++
      const those = this.#slots.get(slot)
      this.#slots.delete(slot)
      for (const timers of those ?? []) each.due(timers, slot)
    }
    for (const timers of this.#frozen) each.frozen(timers)
  }
}
