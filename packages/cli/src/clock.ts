/** The command line's door to time. Deadlines are the library's; here are only waits, and times for people. */

export function wallMs(): number {
  return Date.now()
}

/** For what remains of something. */
export function monotonicMs(): number {
  return performance.now()
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
