/**
 * The messages of the WebSocket (`GET /v2/connect`). One text frame is a JSON array of messages, so that one system call
 * and one parse serve many operations. Types only: free of dependencies, so that the library can load it anywhere.
 *
 * The rules, once:
 * - The first message of a connection is `hello`: it opens a session, or resumes one with `session: "<id>.<secret>"` (or `resume`).
 *   The answer is `welcome`, or a `reply` with `id: 0` and an error, after which the server closes.
 * - Every request has an `id`, a positive integer that only grows within the session, over reconnects too. It **is** the request
 *   id: a repeat (after a reconnect) does not act twice, is attached to the wait it began, and is answered with what is true now.
 *   `settled` (in any request) says that all ids below it have been answered and will not be repeated; except waits that were told
 *   `queued`, which may go on for hours: a repeat of such an id is found by the waiter or the grant that carries it.
 * - Any message renews the session, and a `reply` with a `ttl_ms` confers time: the client may believe from before it handed the request to
 *   the transport. Pushes confer nothing. What does nothing in the name of the session (`validate`, `value`, `show`, `queue`, `watch`, `unwatch`,
 *   what is refused at the door) renews it once in each third of the TTL: after it the session lives for two thirds of it at the least.
 * - `changes` counts the notices and the ends that the client did not ask for. A reply whose `changes` is above what the client has
 *   processed must not extend any belief until a `renew` with its `seen_changes` has brought the list of grants; the next
 *   `renew` then says the new number, which acknowledges it.
 * - The reply to a `renew` has the `epoch` of the ownership that answers; a new grant's is its token divided by 2^32. A reply of an earlier
 *   epoch than one that has been seen in the session comes from a former owner, and must not extend any belief.
 */
import type { WireError } from './errors.ts'
import type { LockEvent } from './events.ts'

export type WireMode = 'exclusive' | 'shared' | 'permits'
export type WirePreempt = 'never' | 'graceful' | 'immediate'

export type WireClaim = {
  name: string
  mode?: WireMode
  permits?: number
  /** Of a semaphore that has no configuration: all its users must name the same. */
  limit?: number
  max_hold_ms?: number
  lock_delay_ms?: number
}

export type AcquireFields = {
  /** 0: only try. Left out or null: wait without limit (WebSocket only). */
  wait_ms?: number | null
  priority?: number
  preempt?: WirePreempt
  reentrant?: boolean
  /** The line of work within the session that asks; deadlocks are found between tasks. Default: the session is one task. */
  task?: string
  metadata?: Record<string, unknown>
  labels?: Record<string, string>
  /** Becomes the lock's value in the step of the grant: what a campaign proclaims. Single claims only. */
  value?: string
}

/** `settled`: all request ids below it are answered. */
type RequestBase = { id: number; settled?: number }

export type ClientHello = {
  type: 'hello'
  /** `Bearer <api key>`, for those (browsers) that cannot set the header of the upgrade. It counts before that header and a client certificate. */
  authorization?: string
  /** As the header `Holdfast-Instance`, for credentials that are not of one instance. */
  instance?: string
  /** `<id>.<secret>` of the session to resume. */
  session?: string
  /** Another word for `session`. */
  resume?: string
  ttl_ms?: number
  labels?: Record<string, string>
}

export type ClientRequest = RequestBase &
  (
    | { type: 'renew'; ttl_ms?: number; seen_changes?: number; wants_grants?: boolean }
    | ({ type: 'acquire' } & WireClaim & AcquireFields)
    | ({ type: 'acquire_all'; locks: WireClaim[] } & Omit<AcquireFields, 'value'>)
    | { type: 'release'; name: string; token: number }
    | { type: 'release_all'; grants: { name: string; token: number }[] }
    | { type: 'cancel'; request_id: number }
    | { type: 'transfer'; name: string; token: number; to_session: string }
    | { type: 'validate'; name: string; token: number }
    | { type: 'value'; name: string }
    | { type: 'write_value'; name: string; token: number; value: string }
    | { type: 'show'; name: string }
    | { type: 'queue'; name: string }
    /** Events of the locks whose name starts with `prefix` (or of `name` alone), beyond `after` if given. */
    | { type: 'watch'; prefix?: string; name?: string; after?: string }
    | { type: 'unwatch'; watch: number }
    /** Ends the session, and with it all that it holds and waits for. */
    | { type: 'close' }
  )

export type ClientMessage = ClientHello | ClientRequest

export type WireGrant = {
  name: string
  token: number
  mode: WireMode
  permits?: number
  /** Slot numbers of a semaphore's permits; permit i has the token `token + i`. */
  slots?: number[]
  holder: string
  acquired_at: string
  /** How often it has been entered, if more than once. */
  count?: number
  labels?: Record<string, string>
  metadata?: Record<string, unknown>
  /** The end is known (max hold, or a notice): this long from when the reply was decided, which is `waited_ms` after the request was received. */
  ends_in_ms?: number
  /** Under notice: by whom and why. */
  notice?: { by: string; reason: string }
  /** The id of the request that acquired it. */
  request_id?: number | string
}

export type ServerMessage =
  | {
      type: 'welcome'
      session: { id: string; secret: string }
      ttl_ms: number
      changes: number
      server_time: string
      server: string
      /** Where the owner of this client's locks listens, when that is elsewhere. */
      owner_url?: string
      /** On resume: all that the session holds. The client releases what it does not know, unless it came by transfer (no `request_id`). */
      grants?: WireGrant[]
    }
  | { type: 'reply'; id: number; error: WireError }
  | {
      type: 'reply'
      id: number
      error?: undefined
      ttl_ms?: number
      changes?: number
      epoch?: number
      [field: string]: unknown
    }
  /** The request waits at this place in line. Sent once, when it is queued. */
  | { type: 'queued'; id: number; position: number }
  | { type: 'preempting'; name: string; token: number; by: string; reason: string; grace_ms: number; changes: number }
  | { type: 'expiring'; name: string; token: number; ends_in_ms: number }
  | { type: 'lost'; name: string; token: number; reason: string; changes: number }
  /** Another session has handed this one a grant; the next list of grants has it. */
  | { type: 'received'; name: string; token: number; changes: number }
  | { type: 'event'; watch: number; event: LockEvent }
  /** The cursor was too old (or foreign): events have been missed, the next one comes after `cursor`. */
  | { type: 'reset'; watch: number; cursor: string }
  /** The watch is over: it is permitted no more, or (`unavailable`) it has to be resumed. */
  | { type: 'ended'; watch: number; error: WireError }
  /** Another server has come to decide for this client's locks. `owner_url`: where it listens; absent: it is this one. */
  | { type: 'moved'; owner_url?: string }
  /** The server is about to stop: reconnect and resume. */
  | { type: 'going_away' }

/** Bodies of successful replies, by the type of the request. */
export type Replies = {
  renew: { ttl_ms: number; changes: number; epoch: number; grants?: WireGrant[] }
  acquire: { grant: WireGrant; waited_ms: number; ttl_ms: number; changes: number }
  acquire_all: { grants: WireGrant[]; waited_ms: number; ttl_ms: number; changes: number }
  /** `count`: how often it is still entered; 0: released. */
  release: { released: boolean; count: number; ttl_ms: number; changes: number }
  release_all: { released: boolean; count: number; ttl_ms: number; changes: number }
  cancel: Record<string, never>
  transfer: { token: number }
  validate: { valid: true; token: number; holder: string }
  value: { value: string; token: number; written_at: string }
  write_value: { token: number; written_at: string }
  /** As `GET /v2/locks/{name}` answers. */
  show: Record<string, unknown>
  /** As `GET /v2/locks/{name}/queue` answers. */
  queue: Record<string, unknown>
  watch: { cursor: string }
  unwatch: Record<string, never>
  close: Record<string, never>
}
