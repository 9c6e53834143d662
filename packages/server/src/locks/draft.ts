/**
 * A decision in the making. Entries are applied as they are put, so that each step of a decision sees those before it: a
 * release that hands over to three readers decides the second on the state that the first left (decision 0001).
 */
import { apply } from './apply.ts'
import type { Asker, Command, Entry, Push, Report, Session, Why } from './model.ts'
import type { Quota } from './quota.ts'
import { liveSession, nextNumber, type State } from './state.ts'
import { DECISION_BYTES_MAX, weightOf } from './weight.ts'

export type Moment = {
  /** ms on the shard's clock. */
  now: number
  /** Wall time, a label. */
  at: number
  /** The store is nearly full: what would make it grow is refused. */
  isStorageFull?: boolean
  /** What the instance may have at once; without it, anything. */
  quota?: Quota
}

export class Draft {
  readonly state: State
  readonly now: number
  readonly at: number
  readonly isStorageFull: boolean
  readonly quota: Quota | null
  readonly by: string
  /** Where the request came from, and its id: of REST requests only, for a connection's address is its session's. */
  readonly from: string | undefined
  readonly #trace: string | undefined
  readonly entries: Entry[] = []
  touches: string | null = null
  /** Grants made for those who waited. */
  granted = 0
  /** Waiters and holders looked at in search of deadlocks. */
  searched = 0
  /** How many entries have been weighed, and what they take. */
  #weighed = 0
  #bytes = 0
  followUps: Command[] = none
  pushes: Push[] = none
  reports: Report[] = none

  constructor(state: State, asker: Asker, moment: Moment) {
    this.state = state
    this.now = moment.now
    this.at = moment.at
    this.isStorageFull = moment.isStorageFull ?? false
    this.quota = moment.quota ?? null
    this.by = asker.by
    this.from = asker.from
    this.#trace = asker.trace
  }

  put(entry: Entry): void {
    if (this.#trace !== undefined && entry.why) this.#sign(entry, entry.why, this.#trace)
    apply(this.state, entry)
    this.entries.push(entry)
  }

  /** For the audit trail. Who is behind a grant's entry has been said by whoever makes it: it need not be the one who asks. */
  #sign(entry: Entry, why: Why, trace: string): void {
    why.trace = trace
    if (this.from !== undefined && entry.record !== 'grant' && why.by === this.by) why.from ??= this.from
  }

  /** Whether so much more can be written in this decision; else it is for another one. To the first of a decision there is no other way. */
  fits(bytes: number): boolean {
    for (; this.#weighed < this.entries.length; this.#weighed++) this.#bytes += weightOf(this.entries[this.#weighed]!)
    return this.#weighed === 0 || this.#bytes + bytes <= DECISION_BYTES_MAX
  }

  /** Later, in a turn of its own. */
  follow(command: Command): void {
    if (this.followUps === none) this.followUps = []
    this.followUps.push(command)
  }

  /** Tells a session's connection, beside the log. */
  tell(push: Push): void {
    if (this.pushes === none) this.pushes = []
    this.pushes.push(push)
  }

  report(report: Report): void {
    if (this.reports === none) this.reports = []
    this.reports.push(report)
  }

  /** The token is not that of a grant in force. One above all that this log has given out tells that the store has been put back in time (SAFETY O4), if nobody made it up. */
  stale(lock: string, token: number): { ok: false; code: 'stale_token' } {
    if (token > this.state.lastNumber) this.report({ type: 'unissued_token', lock, token })
    return { ok: false, code: 'stale_token' }
  }

  number(count = 1): number {
    return nextNumber(this.state, count)
  }

  /** Counts a notice or an end that the session did not ask for; the number is what its client must say it has seen. */
  change(id: string): number {
    const session = liveSession(this.state, id)
    if (!session) return 0
    const record: Session = { ...session.record, changes: session.record.changes + 1 }
    this.put({ type: 'session_changed', record: 'session', session: id, value: record })
    return record.changes
  }
}

/** Shared by all that have none. */
const none: never[] = []
