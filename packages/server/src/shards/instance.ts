/** One instance within its shard: the state of the core, and what belongs to it but is not in the log. */
import { liveSession, NUMBERS_PER_EPOCH, type State } from '../locks/state.ts'
import type { Agenda } from './agenda.ts'
import { Callers } from './callers.ts'
import { Timers } from './timers.ts'

/** When fewer numbers than this are left the owner takes a new epoch: far more than one turn can use. */
export const NUMBERS_LEFT_MIN = 2 ** 20

export class Instance {
  readonly name: string
  readonly state: State
  readonly timers: Timers
  readonly callers = new Callers()

  /** Its `seq` when it was last looked at whether it rests. */
  #restingSeq = -1

  constructor(name: string, state: State, agenda: Agenda) {
    this.name = name
    this.state = state
    this.timers = new Timers(this, agenda)
  }

  /** Whether nothing has been written for it since this was asked before. */
  isResting(): boolean {
    const isResting = this.state.seq === this.#restingSeq
    this.#restingSeq = this.state.seq
    return isResting
  }

  /** A session that has just been opened; for one that is known nothing changes. */
  startSession(id: string, nowMs: number): void {
    const session = liveSession(this.state, id)
    if (session?.deadlineMs === 0) this.timers.startSession(session, nowMs)
  }

  /** The session lives for at least its TTL from now. Returns its deadline, null when it does not exist. */
  touch(id: string, nowMs: number, ttlMs: number | null): number | null {
    const session = this.state.sessions.get(id)
    if (!session?.record) return null
    session.deadlineMs = Math.max(session.deadlineMs, nowMs + (ttlMs ?? session.record.ttlMs))
    return session.deadlineMs
  }

  isNearEndOfEpoch(): boolean {
    const { lastNumber, epoch } = this.state
    return lastNumber - epoch * NUMBERS_PER_EPOCH > NUMBERS_PER_EPOCH - NUMBERS_LEFT_MIN
  }
}
