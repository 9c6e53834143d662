/**
 * One run for each slot, over any number of schedulers that all wake up for it.
 *
 * A lock alone is not enough: the second scheduler gets it as soon as the first has finished, and runs the job again. So the lock's value
 * remembers the last slot that was finished; only the holder can write it, and only with a current token. What is promised: at most one
 * runs at a time, and after one has finished, nobody runs that slot or an earlier one again. Not promised: that a run which died or lost the lock
 * half way is not repeated; for that the job itself must be safe to repeat, or check the token.
 */
import { VALUE_BYTES_MAX } from '@holdfast/protocol/limits'
import { acquire } from './acquire.ts'
import { HoldfastError, TimeoutError } from './errors.ts'
import type { Lock } from './lock.ts'
import { runHolding, tryAcquire } from './named-lock.ts'
import { type Names, refuseUnknown } from './option-names.ts'
import type { Session } from './session.ts'

/** Slots grow: numbers, or texts that sort (RFC 3339 in UTC does; `9` and `10` do not). One kind for one job. */
export type Slot = number | string

export type OnceOptions = {
  /** How long to wait for whoever runs the slot now, to see it finished; if they still run then, `running` is what comes of it. Default 0: leave it to them. */
  waitMs?: number
  signal?: AbortSignal
  maxHoldMs?: number
}

const onceNames: Names<OnceOptions> = { waitMs: true, signal: true, maxHoldMs: true }

export type OnceResult<Result> =
  | { ran: true; result: Result }
  /** `finished`: this slot, or a later one, has been run. `running`: somebody else is at it. */
  | { ran: false; because: 'finished' | 'running' }

export async function once<Result>(
  session: Session,
  run: { job: string; slot: Slot; options: OnceOptions },
  routine: (lock: Lock) => Result,
): Promise<OnceResult<Awaited<Result>>> {
  refuseUnknown('once()', run.options, onceNames)
  // Before anything is asked for.
  markOf(run.slot)
  const lock = await acquireWithin(session, run.job, run.options)
  if (!lock) return { ran: false, because: 'running' }
  return runHolding(session, lock, async (): Promise<OnceResult<Awaited<Result>>> => {
    if (await isSlotFinished(lock, run.slot)) return { ran: false, because: 'finished' }
    // The answer may have been a while in coming, and somebody else may have finished it meanwhile.
    lock.assertHeld()
    const result = await routine(lock)
    await finishSlot(lock, run.slot)
    return { ran: true, result }
  })
}

/**
 * Whether this slot of the job that the lock is held for, or a later one, has been run: the first half of `once`, for who runs the job in another way than as
 * a function. Rejects with `invalid_request` for a slot that could not be compared, or a value of the lock that is no mark of a slot of this kind.
 */
export async function isSlotFinished(lock: Lock, slot: Slot): Promise<boolean> {
  markOf(slot)
  const last = await lastFinished(lock, slot)
  return last !== null && last >= slot
}

/** The second half: nobody runs this slot, or an earlier one, again. With the token: if the lock was lost meanwhile this is refused, and says so. */
export async function finishSlot(lock: Lock, slot: Slot): Promise<void> {
  await lock.setValue(markOf(slot))
}

/** The value that says it. What could not be compared with a later one would be run, and then the job never again; what does not fit, again and again. */
function markOf(slot: unknown): string {
  if (!Number.isFinite(slot) && (typeof slot !== 'string' || slot === '')) {
    throw new HoldfastError(
      'invalid_request',
      `The slot of once() must be a finite number or a text that sorts, not ${String(slot)} (${typeof slot}).`,
    )
  }
  const mark = JSON.stringify({ finished: slot })
  const { length } = new TextEncoder().encode(mark)
  if (length <= VALUE_BYTES_MAX) return mark
  throw new HoldfastError(
    'invalid_request',
    `The slot of once() must fit into the lock's value: with it that has ${length} bytes, and at most ${VALUE_BYTES_MAX} are kept.`,
  )
}

/** null: others have it, and had it for as long as was to be waited. */
async function acquireWithin(session: Session, job: string, options: OnceOptions): Promise<Lock | null> {
  const { waitMs = 0, ...rest } = options
  const claim = { name: job }
  if (waitMs <= 0) return tryAcquire(session, claim, rest)
  try {
    return await acquire(session, claim, { ...rest, waitMs })
  } catch (error) {
    if (error instanceof TimeoutError) return null
    throw error
  }
}

async function lastFinished(lock: Lock, slot: Slot): Promise<Slot | null> {
  const stored = await lock.value()
  if (stored === null) return null
  let finished: unknown
  try {
    // Written by `once`, or by somebody else, which is found out here.
    finished = (JSON.parse(stored.value) as { finished?: unknown } | null)?.finished
  } catch (cause) {
    throw foreign(lock.name, cause)
  }
  if (typeof finished !== typeof slot) throw foreign(lock.name)
  return finished as Slot // of the same type as the slot, by the line above
}

function foreign(job: string, cause?: unknown): HoldfastError {
  return new HoldfastError(
    'invalid_request',
    `The value of lock ${JSON.stringify(job)} is not the mark of a finished slot of this kind: use another job name, or hold the lock and write a right one with setValue(), like {"finished":0}.`,
    { cause },
  )
}
