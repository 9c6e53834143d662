/**
 * Writes down all that the core says and does: of each command its answer, the text of its entries as the log has it, what watchers and sessions are told of
 * them, what it leaves to be done, and what becomes due. A tape is compared with one that was kept.
 */
import { waitAnswer } from '../../packages/server/src/locks/answers.ts'
import { decide } from '../../packages/server/src/locks/decide.ts'
import type { Moment } from '../../packages/server/src/locks/draft.ts'
import { encodeEntry } from '../../packages/server/src/locks/encoding.ts'
import { eventsOf, pushOf } from '../../packages/server/src/locks/events.ts'
import type { Command, Entry, Reply } from '../../packages/server/src/locks/model.ts'
import { newState, type State } from '../../packages/server/src/locks/state.ts'
import { wakeupsOf } from '../../packages/server/src/locks/wakeups.ts'

export class Tape {
  readonly lines: unknown[] = []
  readonly state: State = newState(1)
  readonly entries: Entry[] = []
  /** What the shard knows of the moment besides its time. */
  beside: Omit<Moment, 'now' | 'at'> = {}
  now = 1_000
  /** Waits that have ended. */
  readonly #ends: Extract<Entry, { record: 'wait' }>[] = []

  /** Decides, and what follows from it; returns the answer. */
  do(command: Command): Reply {
    this.state.seq++
    const moment = { ...this.beside, now: this.now, at: 1_700_000_000_000 + this.now }
    const { reply, entries, touches, followUps, pushes, reports } = decide(this.state, command, moment)
    this.entries.push(...entries)
    const ends = entries.flatMap(entry => (entry.record === 'wait' && entry.gone ? [entry] : []))
    this.#ends.push(...ends)
    const answers = ends.map(entry => [entry.ticket, waitAnswer(this.state, entry, moment)])
    const heard = {
      log: entries.map(entry => JSON.parse(encodeEntry(entry)) as unknown),
      events: entries.flatMap(entry => eventsOf(entry)),
      told: entries.flatMap(entry => pushOf(entry, this.now) ?? []),
      due: entries.flatMap(entry => wakeupsOf(entry)),
      ...{ answers, pushes, reports, follows: followUps },
    }
    const said = Object.entries(heard).filter(([, list]) => list.length > 0)
    // As it would be sent: what is undefined is not there.
    this.lines.push(JSON.parse(JSON.stringify({ asked: command.type, reply, touches, ...Object.fromEntries(said) })))
    const session = touches === null ? undefined : this.state.sessions.get(touches)
    if (session?.record) session.deadlineMs = Math.max(session.deadlineMs, this.now + session.record.ttlMs)
    for (const next of followUps) this.do(next)
    return reply
  }

  /** How much is kept in memory: what has ended must leave no trace but what a late caller is told. */
  measure(): void {
    const { sessions, locks, tickets, freezes, keys } = this.state
    const sizes = [sessions.size, locks.size, tickets.size, freezes.size, keys.size]
    this.lines.push({ sizes })
  }

  /** What those who waited would be told if they were told only now. */
  late(): void {
    const moment = { now: this.now, at: 0 }
    const late = this.#ends.map(entry => [entry.ticket, waitAnswer(this.state, entry, moment)])
    this.lines.push(JSON.parse(JSON.stringify({ late })))
  }
}
