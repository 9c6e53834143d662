/** The command line's door to time. Deadlines are the library's, but for one: here are waits, and times for people. */
import os from 'node:os'

export function wallMs(): number {
  return Date.now()
}

/** For what remains of something. */
export function monotonicMs(): number {
  return performance.now()
}

/** On two clocks, in ms: one that stands still while the machine is suspended, and one that does not. */
export type Moment = { readonly monotonicMs: number; readonly bootMs: number }

/** The moment in so many ms. */
export function momentIn(ms: number): Moment {
  return { monotonicMs: performance.now() + ms, bootMs: os.uptime() * 1_000 + ms }
}

/** What surely remains until then; negative when it may have passed (SAFETY section 2: of two clocks the one that says more has the word). */
export function leftUntil({ monotonicMs: monotonic, bootMs }: Moment): number {
  return Math.min(monotonic - performance.now(), bootMs - os.uptime() * 1_000)
}

export function sleep(delayMs: number): Promise<void> {
  return new Promise(resolve => setTimeout(resolve, delayMs))
}

/** Calls back once, unless the returned function is called before. */
export function after(delayMs: number, callback: () => void): () => void {
  const timer = setTimeout(callback, delayMs)
  return () => clearTimeout(timer)
}

/** Calls back again and again, until the returned function is called. */
export function every(intervalMs: number, callback: () => void): () => void {
  const timer = setInterval(callback, intervalMs)
  return () => clearInterval(timer)
}
