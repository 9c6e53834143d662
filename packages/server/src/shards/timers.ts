/**
 * What is due when, for one instance. Everything here is a wake-up: the core looks again at whatever comes due, so an early, late
 * or stale one does no harm but to punctuality.
 *
 * A million sessions renew every few seconds, and a renewal must cost nearly nothing. So it only writes the session's `deadlineMs`. The
 * session stands in the wheel at the deadline that it had when it was put there; when that comes it is looked at, and put in again at
 * the deadline that it has by then. One look for each TTL, and eight bytes a session.
 */
import type { Command, Session } from '../locks/model.ts'
import { liveSession, type SessionState } from '../locks/state.ts'
import { type Wakeup, wakeups } from '../locks/wakeups.ts'
import type { Agenda } from './agenda.ts'
import type { Instance } from './instance.ts'

/** What is stale (sessions that were closed, waits that were granted, grants that were released) is swept when there may be this much more of it than of the live. */
const STALE_MAX = 65_536

export class Timers {
  /** Whose they are. */
  readonly instance: Instance
  readonly #agenda: Agenda
  #sessions: Wheel<SessionState>
  #wakeups: Wheel<Wakeup>
  /** How many of them there were when what is stale had just been swept: a sweep is paid for by what has come since. */
  #swept = 0
  /** Prefixes whose thaw has been asked for and not yet decided. */
  readonly #thawing = new Set<string>()

  constructor(instance: Instance, agenda: Agenda) {
    this.instance = instance
    this.#agenda = agenda
    this.#sessions = new Wheel(this, agenda)
    this.#wakeups = new Wheel(this, agenda)
  }

  /** After a recovery: every session starts its full TTL, and all that is due some day is due again. */
  restart(nowMs: number): void {
    for (const id of this.instance.state.sessions.keys()) {
      const session = liveSession(this.instance.state, id)
      if (session) this.startSession(session, nowMs)
    }
    for (const wakeup of wakeups(this.instance.state)) this.#wakeups.add(wakeup.dueMs, wakeup)
    this.#swept = this.#wakeups.count
    this.#agenda.setFrozen(this, this.instance.state.freezes.size > 0)
  }

  /** Its full TTL begins now. */
  startSession(session: SessionState & { record: Session }, nowMs: number): void {
    session.deadlineMs = Math.max(session.deadlineMs, nowMs + session.record.ttlMs)
    this.#sessions.add(session.deadlineMs, session)
    // A day is the longest TTL: too long to keep what was closed a second after it was opened.
    if (this.#sessions.count > 2 * this.instance.state.sessionCount + STALE_MAX) this.#sweepSessions()
  }

  /** How many things stand in the wheels, stale ones among them. */
  get count(): number {
    return this.#sessions.count + this.#wakeups.count
  }

  add(wakeup: Wakeup): void {
    this.#wakeups.add(wakeup.dueMs, wakeup)
    if (this.#wakeups.count > 2 * this.#swept + STALE_MAX) this.#sweep()
  }

  /** The session was due but has not been ended: it stands in the wheel again. */
  restartSession(id: string): void {
    const session = this.instance.state.sessions.get(id)
    if (session?.record) this.#sessions.add(session.deadlineMs, session)
  }

  /** The freeze has been set or ended, or its thaw has been decided on. */
  setFreeze(prefix: string): void {
    this.#thawing.delete(prefix)
    this.#agenda.setFrozen(this, this.instance.state.freezes.size > 0)
  }

  /** Nothing is due any more. */
  stop(): void {
    const gone = [this.#sessions, this.#wakeups]
    this.#sessions = new Wheel(this, this.#agenda)
    this.#wakeups = new Wheel(this, this.#agenda)
    for (const wheel of gone) this.#leave(wheel)
  }

  /** Hands over what is due in a slot that has come. A session with an open wait of its own connection is alive. */
  due(slot: number, nowMs: number, submit: (command: Command) => void): void {
    const { callers } = this.instance
    for (const session of this.#sessions.take(slot)) {
      const { record } = session
      if (!record) continue
      if (callers.isKept(record.id)) session.deadlineMs = Math.max(session.deadlineMs, nowMs + record.ttlMs)
      if (session.deadlineMs > nowMs) this.#sessions.add(session.deadlineMs, session)
      else submit({ type: 'expire_session', session: record.id, by: 'service' })
    }
    for (const { command, dueMs } of this.#wakeups.take(slot)) {
      // A key is remembered while its session lives, however long after its day.
      const isEarly = command.type === 'forget_key' && this.#hasSession(command.key)
      if (isEarly) this.#wakeups.add(nowMs + FORGET_AGAIN_MS, { command, dueMs })
      else submit(command)
    }
  }

  /** Hands over the freezes that are over by the calendar. */
  thaw(at: number, submit: (command: Command) => void): void {
    for (const freeze of this.instance.state.freezes.values()) {
      if (freeze.untilAt > at || this.#thawing.has(freeze.prefix)) continue
      this.#thawing.add(freeze.prefix)
      submit({ type: 'thaw', prefix: freeze.prefix, by: 'service' })
    }
  }

  #hasSession(key: string): boolean {
    const known = this.instance.state.keys.get(key)
    return known !== undefined && this.instance.state.sessions.has(known.session)
  }

  #sweepSessions(): void {
    const wheel = new Wheel<SessionState>(this, this.#agenda)
    for (const session of this.instance.state.sessions.values())
      if (session.record) wheel.add(session.deadlineMs, session)
    const before = this.#sessions
    this.#sessions = wheel
    this.#leave(before)
  }

  #sweep(): void {
    const wheel = new Wheel<Wakeup>(this, this.#agenda)
    for (const wakeup of wakeups(this.instance.state)) wheel.add(wakeup.dueMs, wakeup)
    const before = this.#wakeups
    this.#wakeups = wheel
    this.#swept = wheel.count
    this.#leave(before)
  }

  /** What was only in a wheel that is dropped is taken off the agenda too: that may be due in a month. */
  #leave(wheel: Wheel<unknown>): void {
    for (const slot of wheel.slots())
      if (!this.#sessions.has(slot) && !this.#wakeups.has(slot)) this.#agenda.remove(slot, this)
  }
}

/** A key whose session outlives it is looked at again this often. */
const FORGET_AGAIN_MS = 60_000

/** What nothing is due in. */
const none: readonly never[] = []

class Wheel<Item> {
  readonly #slots = new Map<number, Item[]>()
  readonly #timers: Timers
  readonly #agenda: Agenda
  count = 0

  constructor(timers: Timers, agenda: Agenda) {
    this.#timers = timers
    this.#agenda = agenda
  }

  add(dueMs: number, item: Item): void {
    const slot = this.#agenda.slotOf(dueMs)
    const items = this.#slots.get(slot)
    if (items) items.push(item)
    else {
      this.#slots.set(slot, [item])
      this.#agenda.add(slot, this.#timers)
    }
    this.count++
  }

  slots(): Iterable<number> {
    return this.#slots.keys()
  }

  has(slot: number): boolean {
    return this.#slots.has(slot)
  }

  take(slot: number): readonly Item[] {
    const items = this.#slots.get(slot)
    if (!items) return none
    this.#slots.delete(slot)
    this.count -= items.length
    return items
  }
}
