/**
 * The library's door to time. Everything that makes a holder stop believing is measured with the *most* time that may have
 * passed (SAFETY section 2): two clocks are read, and the one that says more wins. In Node they are the monotonic clock, which
 * stops while the machine is suspended, and the time since boot, which does not; in a browser `performance.now` and the wall clock.
 */

/** One reading of both clocks, in ms. Only differences mean something, and only within this process. */
export type Instant = { readonly monotonicMs: number; readonly bootMs: number }

export type Cancel = () => void

export interface Clock {
  now(): Instant
  /** The monotonic half alone: cheap, for timeouts that no safety rests on. */
  monotonicMs(): number
  /** Wall time in ms since 1970: a label for people. */
  wallMs(): number
  /** A wake-up, not a deadline: may be late, and must be checked against a fresh reading. */
  after(delayMs: number, callback: () => void): Cancel
  /** After what is runnable now has run: where the requests of one turn are gathered into one frame. */
  afterTurn(callback: () => void): void
}

/** A moment by which something must have stopped being believed. */
export function deadlineAfter(since: Instant, lastsMs: number): Instant {
  return { monotonicMs: since.monotonicMs + lastsMs, bootMs: since.bootMs + lastsMs }
}

/** What surely remains until the deadline; negative when it may have passed. */
export function remainingMs(deadline: Instant, now: Instant): number {
  return Math.min(deadline.monotonicMs - now.monotonicMs, deadline.bootMs - now.bootMs)
}

/** Timers beyond this fire at once. */
const TIMER_MS_MAX = 2 ** 31 - 1

type Globals = {
  process?: { getBuiltinModule?(name: string): unknown }
  setImmediate?(callback: () => void): unknown
}

// The same global object; the types of the platforms it may be do not agree on what it has.
const globals = globalThis as Globals

function readBootMs(): () => number {
  // Node, Deno and Bun answer with their `node:os`; a browser has no process.
  const os = globals.process?.getBuiltinModule?.('node:os') as { uptime(): number } | undefined
  return os && tells(os) ? () => os.uptime() * 1000 : () => Date.now()
}

function tells(os: { uptime(): number }): boolean {
  try {
    return os.uptime() >= 0
  } catch {
    // Deno without `--allow-sys`: the wall clock it is, as in a browser.
    return false
  }
}

function turnScheduler(): (callback: () => void) => void {
  const immediate = globals.setImmediate
  if (immediate) {
    return callback => {
      immediate(callback)
    }
  }
  if (globals.process === undefined && typeof MessageChannel === 'function') return messageTurns()
  return callback => {
    setTimeout(callback, 0)
  }
}

/** A browser's `setTimeout` waits for 4 ms, and in a hidden tab for a second or more; messages come at once. */
function messageTurns(): (callback: () => void) => void {
  const { port1, port2 } = new MessageChannel()
  const due: (() => void)[] = []
  port1.addEventListener('message', () => due.shift()?.())
  port1.start()
  return callback => {
    due.push(callback)
    port2.postMessage(null)
  }
}

export function systemClock(): Clock {
  const bootMs = readBootMs()
  return {
    now: () => ({ monotonicMs: performance.now(), bootMs: bootMs() }),
    monotonicMs: () => performance.now(),
    wallMs: () => Date.now(),
    after(delayMs, callback) {
      const timer = setTimeout(callback, Math.min(Math.max(0, Math.ceil(delayMs)), TIMER_MS_MAX))
      return () => clearTimeout(timer)
    },
    afterTurn: turnScheduler(),
  }
}

/** Aborts after that long: for calls over REST, which nothing else ends. */
export function timeoutSignal(delayMs: number): AbortSignal {
  return AbortSignal.timeout(delayMs)
}
