/**
 * What the doors (http/) may ask of the shards, and nothing else. One server or many, embedded or over etcd: the same.
 */
import type { HoldfastError } from '@holdfast/protocol/errors'
import type { LockEvent } from '@holdfast/protocol/events'
import type { Command, Entry, Push, Refusal, Reply } from '../locks/model.ts'

export type Answer = Exclude<Reply, { ok: 'queued' }>

/** Exactly one of `answer` and `fail` is called, exactly once, never before `submit` has returned, and only when durable. */
export type Asking = {
  answer(reply: Answer): void
  /** `unavailable`: the outcome is unknown, ask again with the same request id. Or another failure of the table. */
  fail(error: HoldfastError): void
  /** The command waits in line. Called at most once, before `answer` or `fail`; durable too. */
  queued?(place: { ticket: number; session: string; position: number }): void
  /**
   * While this acquire waits, its open connection is the session's proof of life (REST), for at most REST_WAIT_MS_MAX, and what it asks for is given
   * up with it. Without it the session must be renewed by other messages, and the wait outlives this `Asking`: a repeat under the same request id
   * attaches to it.
   */
  keepsSessionAlive?: boolean
}

export type Submitted = {
  /**
   * The connection of the asker has gone: nothing will be answered. A wait that kept its session alive is given up, and so is a grant that nobody can
   * ask for any more; another goes on.
   */
  detach(): void
}

export type WatchSink = {
  /** The cursor that the watch starts after. Called once, before anything else but `reset`. */
  began(cursor: string): void
  /** In order, none missing. Return false when the buffer is full: the watch ends, to be resumed by cursor. */
  event(event: LockEvent): boolean
  reset(cursor: string): void
  /** The instance has as many watches open as it may have, over all servers, or may have none. Nothing else is called after it. */
  refused(refusal: Refusal): void
  /** The server is stopping; resume elsewhere. `cursor`: all that concerns the watch up to there has been told. */
  ended(cursor?: string): void
}

export type SessionPush =
  | { type: 'preempting'; lock: string; token: number; by: string; reason: string; graceMs: number; changes: number }
  | { type: 'lost'; lock: string; token: number; reason: string; changes: number }
  /** Another session has handed this one its grant. */
  | { type: 'received'; lock: string; token: number; changes: number }
  | Omit<Push, 'session'>
  /** Another server decides for the session now, or this one does (`ownerUrl` says which). */
  | { type: 'moved' }

/** A batch of a shard's log that has become durable, without what the cleaner carried into it. */
export type Logged = {
  shard: number
  seq: number
  /** Wall time. */
  at: number
  written: readonly { instance: string; entries: readonly Entry[] }[]
}

export type WatchFilter = { prefix?: string; name?: string; after?: string }
export type HistoryOptions = { lock: string; limit: number; before?: string }
export type History = { events: LockEvent[]; more: boolean }

export type TenantCounts = {
  instance: string
  locks: number
  grants: number
  sessions: number
  waiters: number
  storedBytes: number
}

export interface Shards {
  /** Takes the command into the next turn of the instance's shard. */
  submit(instance: string, command: Command, asking: Asking): Submitted
  /** Watches the instance's locks under `prefix` (or `name` alone). `after` is a cursor; without it, from now on. */
  watch(instance: string, filter: WatchFilter, sink: WatchSink): { stop(): void }
  /** Past events of one lock, newest first, as far as they are kept. */
  history(instance: string, options: HistoryOptions): Promise<History>
  /** Pushes for one session, while its connection lives. The newest listener of a session replaces the one before. */
  listen(instance: string, session: string, push: (push: SessionPush) => void): { stop(): void }
  /** Where the server listens that decides for the instance, as far as is known; null: here, or nobody does now. */
  ownerUrl(instance: string): string | null
  /** Whether this server would answer now: it owns its shards and its own deadline has not passed. */
  health(): {
    isReady: boolean
    reason: string | null
    shards: {
      shard: number
      /** It has been recovered, and commands are taken. */
      isServing: boolean
      epoch: number
      seq: number
      locks: number
      grants: number
      sessions: number
      waiters: number
      logBytes: number
    }[]
  }
  /** What the instances have that this server decides for. */
  tenants(): TenantCounts[]
  /** Stops taking commands, drains the batch in flight, ends watches, gives the shards up in good order. */
  close(): Promise<void>
}
