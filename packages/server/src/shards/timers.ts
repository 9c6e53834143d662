/**
 * What is due when, for one instance. Everything here is a wake-up: the core looks again at whatever comes due, so an early, late
 * or stale one does no harm but to punctuality.
 *
 * A million sessions renew every few seconds, and a renewal must cost nearly nothing. So it only writes the session's `deadlineMs`. The
 * session stands in the wheel at the deadline that it had when it was put there; when that comes it is looked at, and put in again at
 * the deadline that it has by then. One look for each TTL, and eight bytes a session.
 */
import type { Command } from '../locks/model.ts'
import type { SessionState, State } from '../locks/state.ts'
import { type Wakeup, wakeups } from '../locks/wakeups.ts'

/** Width of a slot of the wheel: nothing is more than this late because of it. */
const SLOT_MS = 50
/** Stale wake-ups (of waits that were granted, grants that were released) are swept when they outnumber the live by this many. */
const STALE_MAX = 65_536

export class Timers {
  readonly #state: State
  readonly #sessions: Wheel<SessionState>
  #wakeups: Wheel<Wakeup>
  /** Prefixes whose thaw has been asked for and not yet decided. */
  readonly #thawing = new Set<string>()

  constructor(state: State, nowMs: number) {
    this.#state = state
    this.#sessions = new Wheel(nowMs)
    this.#wakeups = new Wheel(nowMs)
  }

  /** After a recovery: every session starts its full TTL, and all that is due some day is due again. */
  restart(nowMs: number): void {
    for (const session of this.#state.sessions.values()) {
      if (session.record) this.startSession(session, nowMs + session.record.ttlMs)
    }
    for (const wakeup of wakeups(this.#state)) this.#wakeups.add(wakeup.dueMs, wakeup)
  }

  startSession(session: SessionState, deadlineMs: number): void {
    session.deadlineMs = Math.max(session.deadlineMs, deadlineMs)
    this.#sessions.add(session.deadlineMs, session)
  }

  add(wakeup: Wakeup, nowMs: number): void {
    this.#wakeups.add(wakeup.dueMs, wakeup)
    const { tickets, keys, grantCount } = this.#state
    // A grant with a max hold has two: the warning and the end.
    if (this.#wakeups.count > 2 * (tickets.size + keys.size + 2 * grantCount) + STALE_MAX) this.#sweep(nowMs)
  }

  /** The session was due but has not been ended: it stands in the wheel again. */
  restartSession(id: string): void {
    const session = this.#state.sessions.get(id)
    if (session?.record) this.#sessions.add(session.deadlineMs, session)
  }

  thawed(prefix: string): void {
    this.#thawing.delete(prefix)
  }

  /** Hands over all that is due. A session with an open wait of its own connection is alive: `isKept` says so. */
  due(
    moment: { now: number; at: number },
    isKept: (session: string) => boolean,
    submit: (command: Command) => void,
  ): void {
    this.#sessions.take(moment.now, session => {
      const { record } = session
      if (!record) return
      if (isKept(record.id)) session.deadlineMs = Math.max(session.deadlineMs, moment.now + record.ttlMs)
      if (session.deadlineMs > moment.now) this.#sessions.add(session.deadlineMs, session)
      else submit({ type: 'expire_session', session: record.id, by: 'service' })
    })
    this.#wakeups.take(moment.now, ({ command, dueMs }) => {
      // A key is remembered while its session lives, however long after its day.
      const isEarly = command.type === 'forget_key' && this.#hasSession(command.key)
      if (isEarly) this.#wakeups.add(moment.now + FORGET_AGAIN_MS, { command, dueMs })
      else submit(command)
    })
    for (const freeze of this.#state.freezes.values()) {
      if (freeze.untilAt > moment.at || this.#thawing.has(freeze.prefix)) continue
      this.#thawing.add(freeze.prefix)
      submit({ type: 'thaw', prefix: freeze.prefix, by: 'service' })
    }
  }

  #hasSession(key: string): boolean {
    const known = this.#state.keys.get(key)
    return known !== undefined && this.#state.sessions.has(known.session)
  }

  #sweep(nowMs: number): void {
    const wheel = new Wheel<Wakeup>(nowMs)
    for (const wakeup of wakeups(this.#state)) wheel.add(wakeup.dueMs, wakeup)
    this.#wakeups = wheel
  }
}

/** A key whose session outlives it is looked at again this often. */
const FORGET_AGAIN_MS = 60_000

class Wheel<Item> {
  readonly #slots = new Map<number, Item[]>()
  #next: number
  count = 0

  constructor(nowMs: number) {
    this.#next = Math.floor(nowMs / SLOT_MS)
  }

  add(dueMs: number, item: Item): void {
    const slot = Math.max(this.#next, Math.ceil(dueMs / SLOT_MS))
    const items = this.#slots.get(slot)
    if (items) items.push(item)
    else this.#slots.set(slot, [item])
    this.count++
  }

  take(nowMs: number, each: (item: Item) => void): void {
    const last = Math.floor(nowMs / SLOT_MS)
    while (this.#next <= last) {
      const items = this.#slots.get(this.#next)
      this.#slots.delete(this.#next)
      // Before the items are looked at: what they put in again goes into a later slot.
      this.#next++
      if (!items) continue
      this.count -= items.length
      for (const item of items) each(item)
    }
  }
}
