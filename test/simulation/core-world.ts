/** A world around the core alone: sessions, time, wake-ups, and a log that is judged as it grows. Driven by numbers, so that chance can drive it. */
import { strict as assert } from 'node:assert'
import { apply } from '../../packages/server/src/locks/apply.ts'
import { type Carried, carry, liveIn, recordsBefore } from '../../packages/server/src/locks/carry.ts'
import { decide } from '../../packages/server/src/locks/decide.ts'
import { decodeEntry, type Encoded, encodeEntry } from '../../packages/server/src/locks/encoding.ts'
import type { Acquire, Claim, Command, Entry, Reply, Report } from '../../packages/server/src/locks/model.ts'
import type { Quota } from '../../packages/server/src/locks/quota.ts'
import { newState, type State } from '../../packages/server/src/locks/state.ts'
import { recountStored } from '../../packages/server/src/locks/stored.ts'
import { type Wakeup, wakeupsOf } from '../../packages/server/src/locks/wakeups.ts'
import { Judge } from '../checker/judge.ts'

export const claimOf = (lock: string, fields: Partial<Claim> = {}): Claim => ({
  lock,
  mode: 'exclusive',
  permits: 1,
  limit: 0,
  maxHoldMs: null,
  lockDelayMs: null,
  ...fields,
})

export const acquireOf = (
  session: Acquire['session'],
  claims: (string | Claim)[],
  fields: Partial<Acquire> = {},
): Command => ({
  type: 'acquire',
  by: 'test',
  session,
  claims: claims.map(claim => (typeof claim === 'string' ? claimOf(claim) : claim)),
  waitMs: 0,
  priority: 0,
  preempt: 'never',
  isReentrant: false,
  task: '',
  request: null,
  labels: null,
  metadata: null,
  value: null,
  ...fields,
})

/** For one lock alone, with a session that is made for it, as over `/v1`. */
export const singleOf = (lock: string, key: string | null = null): Command =>
  acquireOf({ ttlMs: 10_000, defaultTtlMs: 10_000, holder: null, key: key === null ? null : { key, digest: '' } }, [
    lock,
  ])

export type Batch = { seq: number; entries: Entry[] }

export class World {
  readonly #isJudged: boolean
  quota: Quota | null = null
  state: State = newState(1)
  readonly judge = new Judge()
  log: Batch[] = []
  now = 1_000
  readonly due: Wakeup[] = []
  readonly reports: Report[] = []
  /** Replies of waiters, by ticket. */
  readonly ends = new Map<number, Extract<Entry, { record: 'wait' }>>()

  /** Large worlds are judged by their outcome: the judge looks at everybody after each command. */
  constructor({ isJudged }: { isJudged: boolean } = { isJudged: true }) {
    this.#isJudged = isJudged
  }

  /** Decides, as the shard does; entries go through text, as in the log. */
  do(command: Command): Reply {
    const reply = this.decide(command)
    if (this.#isJudged) this.judge.settle()
    return reply
  }

  private decide(command: Command): Reply {
    this.state.seq++
    const moment = { now: this.now, at: 1_700_000_000_000 + this.now }
    const decision = decide(this.state, command, this.quota ? { ...moment, quota: this.quota } : moment)
    const entries = decision.entries.map(entry => decodeEntry(JSON.parse(encodeEntry(entry)) as Encoded))
    if (entries.length > 0) this.log.push({ seq: this.state.seq, entries })
    for (const entry of decision.entries) {
      if (this.#isJudged) this.judge.entry(entry, this.now)
      this.due.push(...wakeupsOf(entry))
      if (entry.record === 'wait' && entry.value === null) this.ends.set(entry.ticket, entry)
    }
    if (decision.touches) this.touch(decision.touches)
    this.reports.push(...decision.reports)
    for (const next of decision.followUps) this.decide(next)
    return decision.reply
  }

  private touch(id: string): void {
    const session = this.state.sessions.get(id)
    if (session?.record) session.deadlineMs = Math.max(session.deadlineMs, this.now + session.record.ttlMs)
  }

  open(ttlMs = 10_000, holder?: string): string {
    const reply = this.do({ type: 'open_session', by: 'test', ttlMs, labels: holder ? { holder } : null })
    assert(reply.ok === true && reply.type === 'session')
    return reply.session.id
  }

  /** Time passes: what is due is done in order, sessions whose deadline has passed end. */
  pass(ms: number): void {
    const until = this.now + ms
    for (;;) {
      const next = this.due.reduce<Wakeup | null>(
        (first, wakeup) => (!first || wakeup.dueMs < first.dueMs ? wakeup : first),
        null,
      )
      const deadlines = [...this.state.sessions.entries()].filter(([, session]) => session.record)
      const dying = deadlines.reduce<[string, number] | null>(
        (first, [id, session]) => (!first || session.deadlineMs < first[1] ? [id, session.deadlineMs] : first),
        null,
      )
      const at = Math.min(next?.dueMs ?? Number.POSITIVE_INFINITY, dying?.[1] ?? Number.POSITIVE_INFINITY)
      if (at > until) break
      this.now = Math.max(this.now, at)
      if (next && next.dueMs <= at) {
        this.due.splice(this.due.indexOf(next), 1)
        this.do(next.command)
      } else if (dying) this.do({ type: 'expire_session', by: 'service', session: dying[0] })
    }
    this.now = until
  }

  /** The cleaner: carries what is current of the oldest batches to the new end, and drops them. */
  clean(count: number): void {
    const old = this.log.slice(0, Math.min(count, this.log.length - 1))
    const end = old.at(-1)
    if (!end) return
    this.state.seq++
    const kept: Carried[] = []
    for (const entry of recordsBefore(this.state, end.seq + 1)) {
      assert.ok(carry(this.state, entry, { before: end.seq + 1, seq: this.state.seq }))
      kept.push(entry)
    }
    for (const { seq } of old) assert.equal(liveIn(this.state, seq), 0, `nothing of batch ${seq} is left behind`)
    this.log = [...this.log.slice(old.length), { seq: this.state.seq, entries: kept }]
  }

  /** Each batch is known to have as many current records as there are in the state. */
  checkLive(): void {
    const counts = new Map<number, number>()
    let found = 0
    for (const batch of this.log) {
      let upTo = 0
      for (const _ of recordsBefore(this.state, batch.seq + 1)) upTo++
      counts.set(batch.seq, upTo - found)
      found = upTo
    }
    for (const { seq } of this.log) {
      assert.equal(liveIn(this.state, seq), counts.get(seq), `current records of batch ${seq}`)
    }
  }

  /** A state read from the log alone. */
  replay(): State {
    const state = newState(1)
    for (const batch of this.log) {
      state.seq = batch.seq
      for (const entry of structuredClone(batch.entries)) apply(state, entry)
    }
    return state
  }
}

/** All that the log must bring back; what is kept in memory alone (deadlines, endings, averages) is left out. */
export function picture(state: State): unknown {
  const sessions = [...state.sessions.entries()]
    .filter(([, session]) => session.record)
    .map(([id, session]) => ({
      id,
      record: session.record,
      grants: session.grants.map(grant => grant.token),
      waits: session.waits.map(waiter => waiter.ticket).sort(),
      delays: session.delays.map(delay => delay.token).sort(),
      requests: [...(session.requests ?? [])].sort(([one], [other]) => (String(one) < String(other) ? -1 : 1)),
      settled: session.settled,
    }))
    .sort((one, other) => (one.id < other.id ? -1 : 1))
  const locks = [...state.locks.values()]
    .map(({ name, grants, delays, queue, config, value }) => ({ name, grants, delays, queue, config, value }))
    .sort((one, other) => (one.name < other.name ? -1 : 1))
  const rest = { tickets: [...state.tickets.keys()].sort(), freezes: byName(state.freezes), keys: byName(state.keys) }
  return JSON.parse(JSON.stringify({ sessions, locks, ...rest, counts: countsOf(state) }))
}

/** The running ones, which must be what there is. */
function countsOf(state: State): number[] {
  const { sessionCount, grantCount, singleCount, storedBytes } = state
  const records = [...state.sessions.values()].flatMap(({ record }) => (record ? [record] : []))
  const singles = records.filter(({ isSingle }) => isSingle).length
  const grants = [...state.locks.values()].reduce((sum, lock) => sum + lock.grants.length, 0)
  const counts = [sessionCount, grantCount, singleCount, storedBytes]
  assert.deepEqual(counts, [records.length, grants, singles, recountStored(state)])
  return counts
}

function byName<Item>(map: Map<string, Item>): Item[] {
  return [...map.entries()].sort(([one], [other]) => (one < other ? -1 : 1)).map(([, item]) => item)
}
