/**
 * What the session knows of one grant: the record behind the handles. A grant that was entered several times has several handles
 * and one holding.
 */
import type { WireGrant } from '@holdfast/protocol/frame'
import { type Instant, remainingMs } from './clock.ts'
import { LockLostError, type LockLostReason } from './errors.ts'

/** Somebody with a better claim is to have the lock: finish, and release before `graceMs` has passed. */
export type Preempting = { by: string; reason: string; graceMs: number }

export type LockEvents = {
  /** The holder is asked to give way. */
  preempting: Preempting
  /** Less than a third of the deadline remains, or a renewal failed: it may yet be saved. */
  atRisk: { validForMs: number }
  /** The longest hold is nearly over. */
  expiring: { endsInMs: number }
  /** It is over; once, and last. */
  lost: LockLostError
}

export type LockEventName = keyof LockEvents

type Listener = { [Name in LockEventName]: { name: Name; call: (event: LockEvents[Name]) => void } }[LockEventName]

export class Holding {
  readonly name: string
  readonly token: number
  readonly mode: WireGrant['mode']
  readonly permits: number
  readonly slots: readonly number[] | null
  /** The place of its arrival among all grants that arrived. */
  readonly serial: number
  /** How many handles have not given it up. */
  handles = 1
  /** Believed no longer than this, whatever the session does; null: as long as the session. */
  limit: Instant | null = null
  lost: LockLostError | null = null
  isUnderNotice = false
  /** About to be given up by a transfer: not believed, but not lost until it has succeeded. */
  isSuspended = false
  #listeners: Set<Listener> | null = null

  constructor(grant: WireGrant, serial: number) {
    this.name = grant.name
    this.token = grant.token
    this.mode = grant.mode
    this.permits = grant.permits ?? 1
    this.slots = grant.slots ?? null
    this.serial = serial
  }

  /** What remains by its own limit. */
  limitMs(now: Instant): number {
    return this.limit === null ? Number.POSITIVE_INFINITY : remainingMs(this.limit, now)
  }

  /** Why it is lost when its own limit has passed. */
  limitReason(): LockLostReason {
    return this.isUnderNotice ? 'preempted' : 'max_hold'
  }

  listen<Name extends LockEventName>(name: Name, call: (event: LockEvents[Name]) => void): () => void {
    // `name` and `call` belong together by the signature; a union of pairs cannot say so.
    const listener = { name, call } as unknown as Listener
    this.#listeners ??= new Set()
    this.#listeners.add(listener)
    return () => {
      this.#listeners?.delete(listener)
    }
  }

  /** Tells the listeners. What one of them throws goes to `failed`, and the others still hear. */
  emit<Name extends LockEventName>(name: Name, event: LockEvents[Name], failed: (error: unknown) => void): void {
    if (!this.#listeners) return
    for (const listener of [...this.#listeners]) {
      if (listener.name !== name) continue
      try {
        // Of the pair whose name it is.
        const call = listener.call as (event: LockEvents[Name]) => void
        call(event)
      } catch (error) {
        failed(error)
      }
    }
  }

  /** No longer held. Returns false when that was known. */
  lose(reason: LockLostReason, failed: (error: unknown) => void): boolean {
    if (this.lost) return false
    this.lost = new LockLostError({ lock: this.name, token: this.token, reason })
    this.emit('lost', this.lost, failed)
    this.#listeners = null
    return true
  }
}
