/**
 * The door to time. Two readings of elapsed time are kept apart, because a lock service must err in two directions:
 * `most` for everything that makes a process stop believing something, and the owner's `least` (shards/lease-clock is built on `ticks`)
 * for everything that takes something away from somebody else (SAFETY section 2).
 */
import { uptime } from 'node:os'

export type Instant = { hrtimeMs: number; bootMs: number }

export interface Clock {
  /** Monotonic ms of this process; stops while the machine is suspended. */
  hrtimeMs(): number
  /** Monotonic ms since boot, suspension included; 10 ms grain. */
  bootMs(): number
  /** Wall time in ms since 1970: a label, never compared with a deadline, but for what people set by the calendar. */
  wallMs(): number
  /** Calls back once, not before `delayMs` has passed on `hrtimeMs` (so it may be rearmed when Node fires early). A wake-up, not a deadline. */
  after(delayMs: number, callback: () => void): Cancel
  /** Calls back after the next poll phase: whatever lay in the sockets has been read by then. */
  afterPoll(callback: () => void): void
}

/** Wall time for whatever deletes or closes something by it, which a clock that is wrong for a moment must not do. */
export interface Calendar {
  /** null: nothing may be deleted or closed by it now; it is looked at again later. Never later than `wallMs`. */
  now(): number | null
}

export type Cancel = () => void

export function instant(clock: Clock): Instant {
  return { hrtimeMs: clock.hrtimeMs(), bootMs: clock.bootMs() }
}

/** The most time that may have passed since `since`. */
export function most(clock: Clock, since: Instant): number {
  return Math.max(clock.hrtimeMs() - since.hrtimeMs, clock.bootMs() - since.bootMs)
}

/** Resolves when so much time has gone by, or the signal is aborted. Never rejects. */
export function pause(clock: Pick<Clock, 'after'>, ms: number, signal?: AbortSignal): Promise<void> {
  return new Promise(resolve => {
    if (signal?.aborted) return resolve()
    const stop = clock.after(ms, done)
    signal?.addEventListener('abort', done, { once: true })
    function done() {
      stop()
      signal?.removeEventListener('abort', done)
      resolve()
    }
  })
}

/** Does it again and again, each time `delayMs` after the last time was done, until it is cancelled. `act` neither throws nor rejects. */
export function every(clock: Pick<Clock, 'after'>, delayMs: number, act: () => void | Promise<void>): Cancel {
  let isOver = false
  let cancel: Cancel
  const later = () => {
    if (!isOver) cancel = clock.after(delayMs, once)
  }
  const once = () => {
    const done = act()
    if (done) void done.then(later)
    else later()
  }
  later()
  return () => {
    isOver = true
    cancel()
  }
}

export const systemClock: Clock = {
  hrtimeMs: () => performance.now(),
  bootMs: () => uptime() * 1000,
  wallMs: () => Date.now(),
  after(delayMs, callback) {
    // Beyond 2^31 - 1 ms Node fires at once.
    const timer = setTimeout(callback, Math.min(Math.ceil(delayMs) + 1, 2 ** 31 - 1))
    return () => clearTimeout(timer)
  },
  afterPoll: callback => {
    setImmediate(callback)
  },
}
