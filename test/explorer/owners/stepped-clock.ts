/**
 * The clock of one process of the small world with time. It stands until the world lets time pass, and goes at a rate of its own. Ticks run by
 * themselves while the process does, for nothing that is to be seen depends on their order; every other timer that is due is a step.
 */
import type { Cancel, Clock } from '../../../packages/server/src/clock.ts'
import { BEAT_MS } from '../../../packages/server/src/shards/membership.ts'
import { LOOK_MS } from '../../../packages/server/src/shards/observer.ts'
import { TICK_MS } from '../../../packages/server/src/shards/shard-clock.ts'

export type Timer = { what: 'beats' | 'looks' | 'ticks' | 'tries again'; dueMs: number; callback: () => void }
/** What the process is doing while time passes. Of `suspended` its monotonic clock knows nothing. */
export type Life = 'running' | 'stopped' | 'suspended' | 'killed'

const WALL_MS = 1_700_000_000_000

export class SteppedClock implements Clock {
  readonly rate: number
  #hrtimeMs = 1_000
  #suspendedMs = 0
  #timers: Timer[] = []
  #polls: (() => void)[] = []

  constructor(rate: number) {
    this.rate = rate
  }

  hrtimeMs = (): number => this.#hrtimeMs
  bootMs = (): number => this.#hrtimeMs + this.#suspendedMs
  wallMs = (): number => WALL_MS + this.bootMs()

  after(delayMs: number, callback: () => void): Cancel {
    const what = kindOf(delayMs)
    // The store has room enough.
    if (what === null) return () => undefined
    const timer: Timer = { what, dueMs: this.#hrtimeMs + delayMs, callback }
    this.#timers.push(timer)
    return () => {
      this.#timers = this.#timers.filter(other => other !== timer)
    }
  }

  afterPoll(callback: () => void): void {
    this.#polls.push(callback)
  }

  /** Of what is due, what is a step of its own. */
  due(): Timer[] {
    return this.#timers.filter(({ what, dueMs }) => what !== 'ticks' && dueMs <= this.#hrtimeMs)
  }

  fire(timer: Timer): void {
    this.#timers = this.#timers.filter(other => other !== timer)
    timer.callback()
  }

  /** Runs what was left for after the poll. Returns whether there was anything. */
  poll(): boolean {
    const polls = this.#polls.splice(0)
    for (const callback of polls) callback()
    return polls.length > 0
  }

  /** So much of everybody's time passes. `ticked` hears how much of its own the process had slept before each tick. */
  pass(ms: number, life: Life, ticked: () => void): void {
    const ownMs = Math.round(ms * this.rate)
    if (life === 'suspended') this.#suspendedMs += ownMs
    if (life === 'stopped' || life === 'killed') this.#hrtimeMs += ownMs
    if (life !== 'running') return
    const untilMs = this.#hrtimeMs + ownMs
    for (let tick = this.#nextTick(untilMs); tick; tick = this.#nextTick(untilMs)) {
      this.#hrtimeMs = Math.max(this.#hrtimeMs, tick.dueMs)
      ticked()
      this.fire(tick)
      this.poll()
    }
    this.#hrtimeMs = untilMs
  }

  /** It goes on after it was stopped: the ticks that are late run first, as they do in Node. */
  goOn(ticked: () => void): void {
    this.pass(0, 'running', ticked)
  }

  /** How long until each timer, by name; what is due is due. */
  state(): string {
    const steps = this.#timers.filter(({ what }) => what !== 'ticks')
    return steps
      .map(({ what, dueMs }) => `${what} ${Math.max(0, dueMs - this.#hrtimeMs)}`)
      .sort()
      .join()
  }

  #nextTick(untilMs: number): Timer | undefined {
    return this.#timers.find(({ what, dueMs }) => what === 'ticks' && dueMs <= untilMs)
  }
}

function kindOf(delayMs: number): Timer['what'] | null {
  if (delayMs === TICK_MS) return 'ticks'
  if (delayMs === BEAT_MS) return 'beats'
  if (delayMs === LOOK_MS) return 'looks'
  return delayMs < BEAT_MS ? 'tries again' : null
}
