/**
 * Running a command under a lock, with these promises:
 *
 * - It starts only when the lock is held, and the lock is released only when the whole process group is gone.
 * - When the lock is lost or must be given up, everybody in the group gets TERM, and KILL early enough to be dead before the moment
 *   from which somebody else may hold the lock. That moment is the deadline that the library computes from its last renewal; the group is told to stop
 *   when a third of it is left, so that there is time to clean up even when the service cannot be reached.
 * - When an operator ends the grant, the service is told that this side knows only when the group is gone.
 *
 * `tell` must not wait for anybody: while it does, nothing is renewed and nobody stopped.
 *
 * Not promised: anything when this process itself is killed with KILL or stopped; pass HOLDFAST_TOKEN to what the lock protects.
 */
import type { Lock } from '@holdfast/client'
import { every, leftUntil, type Moment, momentIn, monotonicMs, wallMs } from './clock.ts'
import { exitCodes } from './exit.ts'
import { ProcessGroup } from './group.ts'
import type { Tell } from './holding-events.ts'

const FORWARDED = ['SIGINT', 'SIGTERM', 'SIGHUP', 'SIGQUIT', 'SIGUSR1', 'SIGUSR2', 'SIGWINCH', 'SIGCONT'] as const
/** Of a full deadline: when less is left, the group is told to stop. */
const STOP_PART = 1 / 3
/** Of that: when less is left, it is killed. */
const KILL_PART = 1 / 4
/** However long the TTL, cleaning up gets no more than this. */
const STOP_MS_MAX = 10_000
const LOOK_MS_MAX = 50
/** What a child leaves behind in its group gets this long after TERM. */
const LEFTOVER_MS_MAX = 5_000

/** The command is told to stop when less than this is left of a deadline that was so far away. Restarts of the server have to fit in (docs/operations.md). */
export function stopMsOf(fullMs: number): number {
  return Math.min(STOP_MS_MAX, fullMs * STOP_PART)
}

type Stop = 'lost' | 'preempted'

/**
 * Returns the exit code. Throws when the command was not started, because it could not be or because the lock was lost by then: a grant and its
 * end may come in one message, before anybody listens. The lock is the caller's to release.
 */
export async function runUnderLock(lock: Lock, command: readonly string[], tell: Tell): Promise<number> {
  lock.assertHeld()
  const fullMs = lock.validForMs()
  const { name, token, mode, waitedMs } = lock
  tell({ event: 'acquired', lock: name, token, mode, waitedMs, validForMs: Math.floor(fullMs) })
  // Before the command exists: a signal must never end this process and leave the command behind.
  const signals = new Signals()
  try {
    const warn = (message: string) => tell({ event: 'warning', lock: name, token, message })
    const group = await ProcessGroup.start(command, environmentOf(lock, fullMs), warn)
    signals.forwardTo(group)
    const guard = new Guard({ lock, group, fullMs, tell })
    try {
      const code = await group.ended
      await endLeftovers(group)
      group.letGo()
      const exitCode = guard.stopped === null ? code : exitCodes[guard.stopped]
      tell({ event: 'ended', lock: name, token, reason: guard.stopped ?? 'done', exitCode })
      return exitCode
    } catch (error) {
      // Whoever called gives the lock up now.
      group.signal('SIGKILL')
      throw error
    } finally {
      guard.end()
    }
  } finally {
    signals.end()
  }
}

/** Takes the signals that this process gets to the group; those that come before there is one, as soon as there is. */
class Signals {
  #early: NodeJS.Signals[] = []
  #group: ProcessGroup | null = null

  constructor() {
    for (const signal of FORWARDED) process.on(signal, this.#received)
  }

  readonly #received = (signal: NodeJS.Signals) => {
    if (this.#group) this.#group.signal(signal)
    else this.#early.push(signal)
  }

  forwardTo(group: ProcessGroup): void {
    this.#group = group
    for (const signal of this.#early) group.signal(signal)
  }

  end(): void {
    for (const signal of FORWARDED) process.off(signal, this.#received)
  }
}

function environmentOf(lock: Lock, validForMs: number): Record<string, string> {
  return {
    HOLDFAST_LOCK: lock.name,
    HOLDFAST_TOKEN: String(lock.token),
    // A label: when the first deadline would have been. Renewals move the real one.
    HOLDFAST_DEADLINE: String(Math.floor(wallMs() + validForMs)),
  }
}

/** What the child started and did not end keeps the lock; so it is ended. */
async function endLeftovers(group: ProcessGroup): Promise<void> {
  if (!group.isAlive) return
  group.signal('SIGTERM')
  const untilMs = monotonicMs() + LEFTOVER_MS_MAX
  const stop = every(LOOK_MS_MAX, () => {
    if (monotonicMs() >= untilMs) group.signal('SIGKILL')
  })
  await group.gone()
  stop()
}

/** Watches the lock on behalf of a group that cannot. */
class Guard {
  /** Why the group was told to stop; null: it was not. */
  stopped: Stop | null = null
  readonly #lock: Lock
  readonly #group: ProcessGroup
  readonly #stopMs: number
  readonly #ends: (() => void)[]
  readonly #tell: Tell
  /** While nobody has said otherwise: until then the lock was promised to this side. */
  #promisedUntil: Moment
  #isEndedByOthers = false

  constructor({ lock, group, fullMs, tell }: { lock: Lock; group: ProcessGroup; fullMs: number; tell: Tell }) {
    this.#lock = lock
    this.#tell = tell
    this.#group = group
    this.#stopMs = stopMsOf(fullMs)
    this.#promisedUntil = momentIn(fullMs)
    const lookMs = Math.min(LOOK_MS_MAX, this.#stopMs * KILL_PART * KILL_PART)
    this.#ends = [
      every(lookMs, () => this.#look()),
      lock.on('preempting', ({ by, reason }) => this.#stop('preempted', `${by} wants the lock: ${reason}`)),
      lock.on('lost', error => {
        this.#isEndedByOthers = error.reason === 'forced' || error.reason === 'preempted'
        this.#stop(error.reason === 'preempted' ? 'preempted' : 'lost', error.message)
        return group.gone()
      }),
    ]
  }

  #look(): void {
    const remainingMs = this.#lock.validForMs()
    if (remainingMs > 0) this.#promisedUntil = momentIn(remainingMs)
    // Of a lock that was lost at once nothing was ever left, and 0 is not less than a third of that.
    if (remainingMs <= 0 || remainingMs < this.#stopMs)
      this.#stop('lost', 'the lock is about to end, or could not be renewed in time')
    if (this.stopped === null || this.#leftMs(remainingMs) >= this.#stopMs * KILL_PART) return
    this.#group.signal('SIGKILL')
  }

  /** Until somebody else may hold the lock. What others ended by a word stays promised while this side has not said that it knows. */
  #leftMs(remainingMs: number): number {
    return this.#isEndedByOthers ? leftUntil(this.#promisedUntil) : remainingMs
  }

  #stop(why: Stop, message: string): void {
    if (this.stopped !== null) return
    this.stopped = why
    this.#group.signal('SIGTERM')
    const { name, token } = this.#lock
    this.#tell({ event: 'stopping', lock: name, token, reason: why, message })
  }

  end(): void {
    for (const end of this.#ends) end()
  }
}
