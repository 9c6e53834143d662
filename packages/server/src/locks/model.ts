/**
 * The words of the core: the records that make up the state, the entries that set them, the commands that ask for
 * entries and the replies to them. Types only.
 *
 * Every record stands for itself: the fold of a log must not depend on the order in which records of *different* keys
 * were written, for the cleaner re-appends old ones at the new end. Whatever connects records (a session's grants, a
 * lock's queue) is an index that `apply` keeps, never something stored.
 *
 * Numbers: tokens, tickets, session numbers and versions come from one sequence, `epoch * 2^32 + counter`, so each is
 * unique within the instance and only grows, over restarts too.
 *
 * Time: `…Ms` fields named `since`, `until`, `now` are on the shard's own clock, which goes on from where the log left it and
 * never runs faster than real time; so what is counted on it ends late, never early. `at` is wall time, a label.
 */
import type { LostReason } from '@holdfast/protocol/errors'
import type { MergePatch } from '@holdfast/protocol/merge-patch'
import type { Cycle, Entry } from './entries.ts'

export type * from './entries.ts'

export type Mode = 'exclusive' | 'shared' | 'permits'
export type Preemption = 'never' | 'graceful' | 'immediate'
export type Labels = Record<string, string>
export type Metadata = Record<string, unknown>

/** Sequence number of the batch that wrote the record, kept beside its fields. A symbol, so that it never reaches the log. */
export const writtenIn = Symbol('writtenIn')
export type Stamped = { [writtenIn]?: number }

// ---------------------------------------------------------------------------------------------------- records

export type Session = {
  number: number
  id: string
  /** The longest TTL ever promised to it: what a new owner grants in full. */
  ttlMs: number
  labels: Labels | null
  /** Made by an acquire for its one grant (`/v1`); it ends with that grant. */
  isSingle: boolean
  /** Subject of the credential that opened it. */
  by: string
  /** Address that it was opened from; not there in old logs. */
  from?: string
  /** Id of the key that opened it, where `by` does not say it: keys that were rotated or bound share a subject. Not there in old logs. */
  credential?: string
  /** Counts the notices and the ends that the holder did not ask for (SAFETY P14). */
  changes: number
  /** What the session's client has said it knows of `changes`. */
  seenChanges: number
}

export type Notice = {
  /** For people: what whoever asked for the lock calls itself. */
  by: string
  /** Of the credential that asked, when that is not `by`; not there in old logs. */
  subject?: string
  reason: string
  /** The grant ends here. */
  endsMs: number
  /** The session's deadline as it stood when the notice was given; the next grant waits for it unless `change` has been seen. */
  promiseUntilMs: number
  change: number
}

export type Grant = {
  lock: string
  token: number
  mode: Mode
  /** 1 unless the mode is `permits`; permit i has the token `token + i` and the slot `slots[i]`. */
  permits: number
  slots: number[] | null
  /** The limit that the request named for a semaphore without configuration. */
  limit: number
  session: string
  /** For people: what the holder calls itself. */
  holder: string
  /** The line of work within the session that asked: deadlocks are counted by session and task. */
  task: string
  priority: number
  at: number
  sinceMs: number
  maxHoldMs: number
  lockDelayMs: number
  request: RequestId | null
  /** Counted reentrancy. */
  count: number
  labels: Labels | null
  metadata: Metadata | null
  notice: Notice | null
  /** Of the many: named here so that it lies within the object, not beside it. */
  [writtenIn]?: number
}

export type Claim = {
  lock: string
  mode: Mode
  permits: number
  limit: number
  maxHoldMs: number | null
  lockDelayMs: number | null
}

export type Waiter = {
  ticket: number
  session: string
  holder: string
  task: string
  claims: Claim[]
  priority: number
  preempt: Preemption
  /** Order in every queue: arrival on the shard's clock, less what the priority is worth. Lower goes first, then the ticket. */
  rank: number
  at: number
  sinceMs: number
  /** null: without limit. */
  waitMs: number | null
  request: RequestId | null
  labels: Labels | null
  metadata: Metadata | null
  /** Written when granted: what a campaign proclaims. */
  value: string | null
}

/** What a grant that ended uncleanly, or without its holder's knowledge, still occupies. */
export type Delay = {
  lock: string
  token: number
  mode: Mode
  permits: number
  slots: number[] | null
  limit: number
  session: string
  reason: LostReason
  /** The lock-delay ends here. */
  delayUntilMs: number
  /** The last promise to the session ends here, unless it says before that it knows of `change`. */
  promiseUntilMs: number
  change: number
}

export type Config = {
  lock: string
  version: number
  description: string | null
  defaultTtlMs: number | null
  maxHoldMs: number | null
  lockDelayMs: number | null
  preemption: Preemption | null
  graceMs: number | null
  minHoldMs: number | null
  limit: number | null
  queueMax: number | null
  labels: Labels | null
  createdAt: number
  changedAt: number
}

export type Value = { lock: string; value: string; token: number; at: number; version: number }

export type Freeze = { prefix: string; number: number; untilAt: number; reason: string; by: string; at: number }

/** A number over the WebSocket (settled in order), text over REST. */
export type RequestId = number | string

/** What a request did, remembered so that a repeat does not do it again. */
export type Remembered =
  | { did: 'acquire'; grants: { lock: string; token: number }[] }
  | { did: 'release'; left: number }
  | { did: 'transfer'; token: number }
  | { did: 'write'; version: number }
  | { did: 'cancel' }

/** A `/v1` idempotency key: the session it made, and a digest of the body that it came with. */
export type IdempotencyKey = { key: string; digest: string; session: string; lock: string; sinceMs: number }

// ---------------------------------------------------------------------------------------------------- commands

/** Who asks, for the log. */
export type Asker = { by: string; trace?: string; from?: string }

/** `credential`: of the key that opens it, where its subject does not say it. */
export type NewSession = { ttlMs: number; labels: Labels | null; credential?: string }

export type Acquire = {
  type: 'acquire'
  /** An existing session, or one to be made for this grant alone (`/v1`); `ttlMs` null: the lock's default, else `defaultTtlMs`. */
  session:
    | string
    | {
        ttlMs: number | null
        defaultTtlMs: number
        holder: string | null
        key: { key: string; digest: string } | null
        credential?: string
      }
  claims: Claim[]
  /** 0: try; null: without limit. */
  waitMs: number | null
  priority: number
  preempt: Preemption
  isReentrant: boolean
  task: string
  request: RequestId | null
  labels: Labels | null
  metadata: Metadata | null
  value: string | null
}

export type ConfigFields = Partial<Omit<Config, 'lock' | 'version' | 'createdAt' | 'changedAt'>>

/** Which version is meant to be there, or one of which; `*`: any; null: whatever there is. */
export type IfVersion = number | readonly number[] | '*' | null

export type Command = Asker &
  (
    | ({ type: 'open_session' } & NewSession)
    /** Confers time. `grants` are listed in the reply when the client has not seen all changes, or asks. */
    | { type: 'renew'; session: string; ttlMs?: number; seenChanges?: number; settled?: number; wantsGrants?: boolean }
    | { type: 'close_session'; session: string }
    | Acquire
    | { type: 'release'; session: string; grants: { lock: string; token: number }[]; request: RequestId | null }
    /** `/v1`: the one grant of a single session. */
    | { type: 'release_single'; session: string; lock: string }
    | { type: 'renew_single'; session: string; lock: string; ttlMs?: number }
    | { type: 'cancel'; session: string; cancels: RequestId; request: RequestId | null }
    /** Gives up a wait. `isOfGone`: because its connection has gone, and unless there is another by now. `refusal`: what is told, else that it was cancelled. */
    | { type: 'abandon'; ticket: number; isOfGone?: true; refusal?: Refusal }
    | { type: 'transfer'; session: string; lock: string; token: number; toSession: string; request: RequestId | null }
    | { type: 'write_value'; session: string; lock: string; token: number; value: string; request: RequestId | null }
    | {
        type: 'configure'
        lock: string
        fields: ConfigFields
        /** Merged into the labels that are there, where `fields` has none. */
        labelsPatch?: MergePatch<Labels>
        replaces: boolean
        ifVersion: IfVersion
      }
    | { type: 'delete_lock'; lock: string; ifVersion: IfVersion }
    /** Ends grants of others: all of the lock's, or the one named. `now` waives belief exclusion (SAFETY P14). */
    | { type: 'force_release'; lock: string; token: number | null; reason: string; now: boolean }
    | { type: 'preempt'; lock: string; token: number | null; reason: string; graceMs: number }
    /** Ends what the sessions of the subject hold and wait for, as by force; `left` in the reply: so much was too much for once. */
    /**
     * `credential`: whose sessions, of those of the subject; without it (of older servers) all. `isShared`: another key has the subject too, so that a
     * session that does not say its key is not taken for this one's.
     */
    | { type: 'evict'; subject: string; credential?: string; isShared?: boolean; reason: string }
    | { type: 'freeze'; prefix: string; untilAt: number; reason: string }
    | { type: 'thaw'; prefix: string }
    // What time makes due. Each checks again that it is.
    | { type: 'expire_session'; session: string }
    | { type: 'warn_hold'; lock: string; token: number }
    | { type: 'end_hold'; lock: string; token: number }
    | { type: 'end_delay'; lock: string; token: number; now?: true }
    | { type: 'end_wait'; ticket: number }
    | { type: 'forget_key'; key: string }
    | { type: 'pump'; lock: string }
    // Reads.
    | { type: 'show'; lock: string }
    /** `only`: names that match none of these patterns need not be looked at. */
    | { type: 'list'; prefix: string; after: string | null; limit: number; only?: readonly string[] }
    | { type: 'queue'; lock: string }
    | { type: 'validate'; lock: string; token: number }
    | { type: 'read_value'; lock: string }
    | { type: 'show_session'; session: string }
    | { type: 'list_freezes' }
  )

// ---------------------------------------------------------------------------------------------------- replies

export type GrantView = {
  lock: string
  token: number
  mode: Mode
  permits: number
  slots: number[] | null
  session: string
  holder: string
  at: number
  labels: Labels | null
  metadata: Metadata | null
  priority: number
  count: number
  request: RequestId | null
  /** Set when the end is known: max hold, or a notice. */
  endsInMs: number | null
  /** Of its session, from now, at least. */
  expiresInMs: number
  notice: { by: string; reason: string } | null
}

export type WaiterView = {
  ticket: number
  session: string
  holder: string
  mode: Mode
  permits: number
  priority: number
  at: number
  waitedMs: number
  position: number
  labels: Labels | null
  locks: string[]
}

export type LockView = {
  lock: string
  state: 'free' | 'held' | 'delayed' | 'frozen'
  /** The first of its grants, as many as one reply holds, and how many more there are. */
  grants: GrantView[]
  moreGrants: number
  waiters: number
  limit: number | null
  config: Config | null
  value: Value | null
  freeze: Freeze | null
  /** Until when an unclean end keeps others out, from now. */
  delayedMs: number | null
  typicalHoldMs: number | null
}

/** Time that this reply confers: the session lives at least `ttlMs` from the reading made for this very request. */
export type Confers = { ttlMs: number; changes: number }

/** What is in the way. `holder`, `at` and `labels` are those of one who holds it; null: nobody does. */
export type Held = {
  lock: string
  holder: string | null
  at: number | null
  labels: Labels | null
  queueLength: number
  estimateMs: number | null
  /** Until when an end keeps others out, from now. */
  delayedMs: number | null
  /** Nobody holds it but the session that asks. */
  isOwn: boolean
}

/** `waitedMs`: it came at the end of a wait, which lasted so long. */
export type Refusal = { waitedMs?: number } & (
  | { ok: false; code: 'lock_held'; held: Held | null; reason: 'held' | 'delayed' | 'timeout' | 'cancelled' | 'queued' }
  | { ok: false; code: 'lock_lost'; reason: LostReason }
  | { ok: false; code: 'deadlock'; cycle: Cycle }
  | { ok: false; code: 'frozen'; untilAt: number; by: string; reason: string }
  | { ok: false; code: 'stale_token' }
  | { ok: false; code: 'queue_full'; limit: number }
  | { ok: false; code: 'quota_exceeded'; limit: string; max: number }
  | { ok: false; code: 'rate_limited'; limit: string; max: number; retryMs: number }
  | { ok: false; code: 'forbidden'; reason: 'instance_disabled' }
  | { ok: false; code: 'not_found'; what: 'lock' | 'session' | 'freeze' | 'value' | 'wait' }
  | { ok: false; code: 'precondition_failed' }
  | { ok: false; code: 'storage_full' }
  | { ok: false; code: 'invalid_request'; field: string; message: string }
)

export type Reply =
  | Refusal
  /** The command waits: the answer is a later entry that names the ticket. */
  | { ok: 'queued'; ticket: number; session: string; position: number }
  | { ok: true; type: 'session'; session: Session }
  /** `epoch`: of the ownership that answers, so that a client can tell a former owner from the present one (SAFETY P16). */
  | { ok: true; type: 'renewed'; session: string; confers: Confers; grants: GrantView[] | null; epoch: number }
  | { ok: true; type: 'granted'; session: string; grants: GrantView[]; confers: Confers; waitedMs: number }
  | { ok: true; type: 'released'; left: number; confers: Confers | null }
  | { ok: true; type: 'transferred'; token: number }
  | { ok: true; type: 'written'; value: Value }
  | { ok: true; type: 'configured'; isNew: boolean; lock: LockView }
  /** `left`: beyond these, whose turn comes. Not said of any of them yet: an owner may end before. */
  | { ok: true; type: 'ended'; grants: { lock: string; token: number; holder: string }[]; left: number }
  | { ok: true; type: 'frozen'; freeze: Freeze }
  | { ok: true; type: 'lock'; lock: LockView }
  | { ok: true; type: 'locks'; locks: LockView[]; more: boolean }
  | { ok: true; type: 'queue'; lock: LockView; waiters: WaiterView[] }
  | { ok: true; type: 'valid'; grant: GrantView }
  | { ok: true; type: 'value'; value: Value }
  | { ok: true; type: 'session_view'; session: Session; grants: GrantView[]; waits: WaiterView[] }
  | { ok: true; type: 'freezes'; freezes: Freeze[] }
  | { ok: true; type: 'done' }

/** To one session's connection, beside the log: nothing depends on its arrival. */
export type Push = { session: string; type: 'expiring'; lock: string; token: number; endsInMs: number }

/**
 * For those who watch over the service. `lock_order`: `first` was taken before `second` by some and after it by others, a deadlock in waiting.
 * `unissued_token`: somebody has a token above all that were given out.
 */
export type Report =
  | { type: 'lock_order'; first: string; second: string; session: string }
  | { type: 'unissued_token'; lock: string; token: number }

export type Decision = {
  reply: Reply
  /** In order; already applied to the state. */
  entries: Entry[]
  /** The session whose liveness this request proves (its deadline moves to the reading + TTL), if any. */
  touches: string | null
  followUps: Command[]
  pushes: Push[]
  reports: Report[]
}
