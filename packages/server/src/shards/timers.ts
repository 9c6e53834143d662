/**
 * What is due when, for one instance. Everything here is a wake-up: the core looks again at whatever comes due, so an early, late
 * or stale one does no harm but to punctuality.
 *
 * A million sessions renew every few seconds, and a renewal must cost nearly nothing. So it only writes the session's `deadlineMs`. The
 * session stands in the wheel at the deadline that it had when it was put there; when that comes it is looked at, and put in again at
 * the deadline that it has by then. One look for each TTL, and eight bytes a session.
 */
import type { Command, Session } from '../locks/model.ts'
import { liveSession, type SessionState, type State } from '../locks/state.ts'
import { type Wakeup, wakeups } from '../locks/wakeups.ts'

/** Width of a slot of the wheel: nothing is more than this late because of it. */
const SLOT_MS = 50
/** What is stale (sessions that were closed, waits that were granted, grants that were released) is swept when there may be this much more of it than of the live. */
const STALE_MAX = 65_536

export class Timers {
  readonly #state: State
  #sessions: Wheel<SessionState>
  #wakeups: Wheel<Wakeup>
  /** How many of them there were when what is stale had just been swept: a sweep is paid for by what has come since. */
  #swept = 0
  /** Prefixes whose thaw has been asked for and not yet decided. */
  readonly #thawing = new Set<string>()

  constructor(state: State, nowMs: number) {
    this.#state = state
    this.#sessions = new Wheel(nowMs)
    this.#wakeups = new Wheel(nowMs)
  }

  /** After a recovery: every session starts its full TTL, and all that is due some day is due again. */
  restart(nowMs: number): void {
    for (const id of this.#state.sessions.keys()) {
      const session = liveSession(this.#state, id)
      if (session) this.startSession(session, nowMs)
    }
    for (const wakeup of wakeups(this.#state)) this.#wakeups.add(wakeup.dueMs, wakeup)
    this.#swept = this.#wakeups.count
  }

  /** Its full TTL begins now. */
  startSession(session: SessionState & { record: Session }, nowMs: number): void {
    session.deadlineMs = Math.max(session.deadlineMs, nowMs + session.record.ttlMs)
    this.#sessions.add(session.deadlineMs, session)
    // A day is the longest TTL: too long to keep what was closed a second after it was opened.
    if (this.#sessions.count > 2 * this.#state.sessionCount + STALE_MAX) this.#sweepSessions(nowMs)
  }

  /** How many things stand in the wheels, stale ones among them. */
  get count(): number {
    return this.#sessions.count + this.#wakeups.count
  }

  add(wakeup: Wakeup, nowMs: number): void {
    this.#wakeups.add(wakeup.dueMs, wakeup)
    if (this.#wakeups.count > 2 * this.#swept + STALE_MAX) this.#sweep(nowMs)
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

  #sweepSessions(nowMs: number): void {
    const wheel = new Wheel<SessionState>(nowMs)
    for (const session of this.#state.sessions.values()) if (session.record) wheel.add(session.deadlineMs, session)
    this.#sessions = wheel
  }

  #sweep(nowMs: number): void {
    const wheel = new Wheel<Wakeup>(nowMs)
    for (const wakeup of wakeups(this.#state)) wheel.add(wakeup.dueMs, wakeup)
    this.#wakeups = wheel
    this.#swept = wheel.count
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
