/**
 * What the session knows of one grant: the record behind the handles. A grant that was entered several times has several handles
 * and one holding.
 */
import type { WireGrant } from '@holdfast/protocol/frame'
import { type Instant, remainingMs } from './clock.ts'
import { LockLostError, type LockLostReason, type Notice } from './errors.ts'

/**
 * Somebody with a better claim is to have the lock: finish, and release. `graceMs` is the service's; what of it can be relied on here, less what clocks
 * may be apart, `validForMs()` knows when this is told.
 */
export type Preempting = Notice & { graceMs: number }

export type LockEvents = {
  /** The holder is asked to give way. */
  preempting: Preempting
  /** Less than a third of the deadline remains, or a renewal failed: it may yet be saved. */
  atRisk: { validForMs: number }
  /** The longest hold is nearly over, as far as it can be relied on: for so long from now. Told once, when a third of it is left, or 10 s. */
  expiring: { endsInMs: number }
  /**
   * It is over; once, and last. What the listener returns is waited for before the service is told that this side knows: as long as the last
   * promise lasts, nobody else gets the lock before the work here has stopped.
   */
  lost: LockLostError
}

export type LockListener<Name extends LockEventName> = (event: LockEvents[Name]) => unknown

export type LockEventName = keyof LockEvents

type Listener = { [Name in LockEventName]: { name: Name; call: LockListener<Name> } }[LockEventName]

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
  /** Who asked the holder to give way, and why; null: nobody has. */
  notice: Notice | null = null
  /** How long before the end of a longest hold its holder is told; 0: the end is not known. */
  warnedBeforeMs = 0
  /** The holder has been told that its longest hold is nearly over. */
  isExpiring = false
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

  /** Itself, as often as it was entered and not left: each has to be given back. */
  get entries(): Holding[] {
    return Array.from({ length: Math.max(1, this.handles) }, () => this)
  }

  /** For tests: how many callbacks are kept. */
  get listening(): number {
    return this.#listeners?.size ?? 0
  }

  /** What remains by its own limit. */
  limitMs(now: Instant): number {
    return this.limit === null ? Number.POSITIVE_INFINITY : remainingMs(this.limit, now)
  }

  /** Why it is lost when its own limit has passed. */
  limitReason(): LockLostReason {
    return this.notice ? 'preempted' : 'max_hold'
  }

  listen<Name extends LockEventName>(name: Name, call: LockListener<Name>): () => void {
    // `name` and `call` belong together by the signature; a union of pairs cannot say so.
    const listener = { name, call } as unknown as Listener
    this.#listeners ??= new Set()
    this.#listeners.add(listener)
    return () => {
      this.#listeners?.delete(listener)
    }
  }

  /** Tells the listeners. What one of them throws goes to `failed`, and the others still hear. Returns what they promise. */
  emit<Name extends LockEventName>(
    name: Name,
    event: LockEvents[Name],
    failed: (error: unknown) => void,
  ): Promise<unknown>[] {
    const promises: Promise<unknown>[] = []
    for (const listener of [...(this.#listeners ?? [])]) {
      if (listener.name !== name) continue
      try {
        // Of the pair whose name it is.
        const call = listener.call as LockListener<Name>
        const returned = call(event)
        if (returned instanceof Promise) promises.push(returned.catch(failed))
      } catch (error) {
        failed(error)
      }
    }
    return promises
  }

  /** No longer held. Resolves when the work under it has stopped, as far as its listeners say; null: at once. */
  lose(reason: LockLostReason, failed: (error: unknown) => void): Promise<unknown> | null {
    if (this.lost) return null
    this.lost = new LockLostError({ lock: this.name, token: this.token, reason, notice: this.notice })
    const promises = this.emit('lost', this.lost, failed)
    this.#listeners = null
    return promises.length === 0 ? null : Promise.all(promises)
  }
}
