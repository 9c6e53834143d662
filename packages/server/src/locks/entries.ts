/** What the log is made of: each entry sets one record, or removes it, and says what happened. Types only; use them by way of model.ts. */
import type {
  Config,
  Delay,
  Freeze,
  Grant,
  IdempotencyKey,
  Refusal,
  Remembered,
  RequestId,
  Session,
  Value,
  Waiter,
} from './model.ts'

export type Happening =
  // What watchers read (protocol/events.ts) …
  | 'granted'
  | 'queued'
  | 'dequeued'
  | 'released'
  | 'expired'
  | 'preempting'
  | 'preempted'
  | 'forced'
  | 'max_hold'
  | 'session_closed'
  | 'transferred'
  | 'delayed'
  | 'freed'
  | 'frozen'
  | 'thawed'
  | 'value_changed'
  | 'configured'
  | 'deleted'
  // … and what they do not.
  | 'reentered'
  | 'session_opened'
  | 'session_changed'
  | 'session_ended'
  | 'remembered'
  | 'settled'
  | 'forgotten'
  /** Written again by the cleaner: nothing happened. */
  | 'carried'

/** Why it happened, for the audit trail and the events. `holder` etc. stand here where the record itself is gone. */
export type Why = {
  /** Subject of the credential, or the session, that caused it. */
  by?: string
  reason?: string
  /** Id of the REST request in which it happened. */
  trace?: string
  holder?: string
  session?: string
  /** Subject whose session it befell, when that is not `by`. */
  who?: string
  /** Address of whoever caused it: of the request, else that the session was opened from. */
  from?: string
  cycle?: Cycle
  /** Of a place in line that has been taken or left: how many wait for each of its locks now. Not there in old logs. */
  queue?: number[]
  /** Of the grant that ended: the session's `changes` after it. */
  change?: number
}

/** Sets (`value`) or removes (`value: null`) one record and says what happened. */
export type Entry =
  | GrantEntry
  /** `gone` is the waiter that was removed, and what it was granted: for the one who answers it (answers.ts), never logged. */
  | { type: Happening; record: 'wait'; ticket: number; locks: string[]; value: Waiter | null; why?: Why; gone?: Gone }
  | { type: Happening; record: 'session'; session: string; value: Session | null; why?: Why }
  | { type: Happening; record: 'delay'; lock: string; token: number; value: Delay | null; why?: Why }
  | { type: Happening; record: 'config'; lock: string; value: Config | null; why?: Why }
  | { type: Happening; record: 'value'; lock: string; value: Value | null; why?: Why }
  | { type: Happening; record: 'freeze'; prefix: string; value: Freeze | null; why?: Why }
  | { type: Happening; record: 'request'; session: string; request: RequestId; value: Remembered | null; why?: Why }
  /** All numbered requests of the session below `value` are forgotten: their replies have arrived. */
  | { type: Happening; record: 'settled'; session: string; value: number | null; why?: Why }
  | { type: Happening; record: 'key'; key: string; value: IdempotencyKey | null; why?: Why }

/**
 * With `remembers` it sets a second record too, that of the request that did it: nearly every grant and every release has one. `heldMs`: of a grant
 * that has ended, for the telemetry; never logged.
 */
export type GrantEntry = {
  type: Happening
  record: 'grant'
  lock: string
  token: number
  value: Grant | null
  why?: Why
  remembers?: Memory
  heldMs?: number
}

/** What a request of a session did. */
export type Memory = { session: string; request: RequestId; did: Remembered }

/** `refusal`: its turn came, and the instance could not have it. */
export type Gone = { waiter: Waiter; grants: Grant[] | null; refusal?: Refusal }

/** `waiter` waits for `lock`, which `holder` holds or is before it in line for. Of a long one its two ends: the step before the gap names a holder who is in none. */
export type Cycle = { waiter: string; task: string; lock: string; holder: string }[]
