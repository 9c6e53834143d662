/**
 * The state of one instance: the records, and the indexes that connect them. Changed by `apply` alone, but for two fields
 * that the shard sets: `seq` (the batch being built or replayed) and a session's `deadlineMs` (renewals make no entry).
 */
import { type Lock, none } from './lock.ts'
import { LockTable } from './lock-table.ts'
import type { Delay, Freeze, Grant, IdempotencyKey, Remembered, RequestId, Session, Waiter } from './model.ts'

/** A session's record with what belongs to it. Records of other keys may come first, so `record` can be null for a while. */
export class SessionState {
  record: Session | null = null
  /** On the shard's clock; set by the shard alone. Zero until it has. */
  deadlineMs = 0
  grants: Grant[] = []
  waits: Waiter[] = none
  delays: Delay[] = none
  /** Of all that it holds and waits for: UTF-16 units of names, and permits. What its end will have to write. */
  endingUnits = 0
  /** How many claims its waits have. */
  claims = 0
  requests: Map<RequestId, Remembered> | null = null
  settled = 0
  settledIn = 0
}

/** Endings that are remembered: a few seconds of full load. A power of two. */
export const ENDED_MAX = 2 ** 14

/** Places of a ring that is new: nearly all instances need no more. A power of two. */
const ENDED_MIN = 2 ** 4

/** The latest endings of grants in a ring of numbers: cheap to add to, and looked through only for those who ask late. */
export class Endings {
  #tokens = new Float64Array(ENDED_MIN)
  readonly #how: Ending[] = []
  #count = 0

  /** How many there is room for. */
  get places(): number {
    return this.#tokens.length
  }

  add(token: number, ending: Ending): void {
    if (this.#count === this.#tokens.length && this.#count < ENDED_MAX) this.#grow()
    const place = this.#count++ % this.#tokens.length
    this.#tokens[place] = token
    this.#how[place] = ending
  }

  find(token: number): Ending | null {
    const place = this.#tokens.lastIndexOf(token)
    return place < 0 || token === 0 ? null : (this.#how[place] ?? null)
  }

  #grow(): void {
    const tokens = new Float64Array(this.#tokens.length * 2)
    tokens.set(this.#tokens)
    this.#tokens = tokens
  }
}

/** How many records each batch of the log has written that are still current: one with none has nothing to carry. */
export class LiveRecords {
  readonly #counts = new Map<number, number>()
  /** Of the batch that is being built: nearly all changes concern it. */
  #seq = 0
  #count = 0

  add(seq: number): void {
    if (seq !== this.#seq) this.#turn(seq)
    this.#count++
  }

  remove(seq: number): void {
    if (seq === this.#seq) {
      this.#count--
      return
    }
    const count = (this.#counts.get(seq) ?? 0) - 1
    if (count > 0) this.#counts.set(seq, count)
    else this.#counts.delete(seq)
  }

  /** No record of any batch is current: nothing is left of the instance. */
  get isEmpty(): boolean {
    return this.#count === 0 && this.#counts.size === 0
  }

  of(seq: number): number {
    return seq === this.#seq ? this.#count : (this.#counts.get(seq) ?? 0)
  }

  #turn(seq: number): void {
    if (this.#count > 0) this.#counts.set(this.#seq, this.#count)
    this.#seq = seq
    this.#count = this.#counts.get(seq) ?? 0
    this.#counts.delete(seq)
  }
}

export type State = {
  /** Of the ownership under which decisions are made now. */
  epoch: number
  /** Highest number given out: tokens, tickets, sessions, versions. */
  lastNumber: number
  seq: number
  sessions: Map<string, SessionState>
  locks: LockTable
  tickets: Map<number, Waiter>
  freezes: Map<string, Freeze>
  keys: Map<string, IdempotencyKey>
  /** How many sessions have a record, and how many grants there are. */
  sessionCount: number
  grantCount: number
  /** Of the sessions: those made for one grant alone, which count as a lock and not as a session against a quota. */
  singleCount: number
  /** Bytes of what users have left with us (stored.ts). */
  storedBytes: number
  live: LiveRecords
  /** How recent grants ended: a courtesy to those who ask late, lost with the batches that say it. */
  ended: Endings
  /** The same for the grants of single sessions, by session; two generations so that it stays bounded. */
  endedSingles: { young: Map<string, Ending>; old: Map<string, Ending> }
  /** Which lock was taken while which was held, to report inversions. Two generations too. */
  orders: { young: Set<string>; old: Set<string> }
}

export type Ending = 'released' | 'expired' | 'preempted' | 'forced' | 'transferred' | 'session_closed' | 'max_hold'

/** 2^32 numbers an epoch: half a day of grants at full speed. */
export const NUMBERS_PER_EPOCH = 2 ** 32

export function newState(epoch: number): State {
  return {
    epoch,
    lastNumber: 0,
    seq: 0,
    sessions: new Map(),
    locks: new LockTable(),
    tickets: new Map(),
    freezes: new Map(),
    keys: new Map(),
    sessionCount: 0,
    grantCount: 0,
    singleCount: 0,
    storedBytes: 0,
    live: new LiveRecords(),
    ended: new Endings(),
    endedSingles: { young: new Map(), old: new Map() },
    orders: { young: new Set(), old: new Set() },
  }
}

/** The first of `count` fresh numbers. Nothing is reserved: they count as given out once an entry has carried them. */
export function nextNumber(state: State, count = 1): number {
  const first = Math.max(state.lastNumber, state.epoch * NUMBERS_PER_EPOCH) + 1
  // The owner takes a new epoch long before; a number of the next epoch could come twice.
  if (Math.floor((first + count) / NUMBERS_PER_EPOCH) !== state.epoch)
    throw new Error(`epoch ${state.epoch} has no numbers left`)
  if (!Number.isSafeInteger(first + count)) throw new Error('numbers have run past 2^53')
  return first
}

/** Gives back what is kept as a courtesy alone: of an instance that rests nobody has asked for a while. */
export function rest(state: State): void {
  state.ended = new Endings()
  state.endedSingles = { young: new Map(), old: new Map() }
  state.orders = { young: new Set(), old: new Set() }
  state.locks.rest()
}

/** A live session: one whose record exists. */
export function liveSession(state: State, id: string): (SessionState & { record: Session }) | null {
  const session = state.sessions.get(id)
  // The check is on the very field that the type names.
  return session?.record ? (session as SessionState & { record: Session }) : null
}

/** Index of `token` in a list sorted by token, or of where it would go, as `-1 - place`. */
export function placeOf(list: readonly { token: number }[], token: number): number {
  let low = 0
  let high = list.length - 1
  while (low <= high) {
    const middle = (low + high) >>> 1
    const found = list[middle]!.token
    if (found === token) return middle
    if (found < token) low = middle + 1
    else high = middle - 1
  }
  return -1 - low
}

/** The grant that `token` belongs to: a semaphore's grant of n permits has n tokens. */
export function grantOf(lock: Lock | undefined, token: number): Grant | null {
  if (!lock) return null
  const place = placeOf(lock.grants, token)
  const grant = lock.grants[place >= 0 ? place : -2 - place]
  return grant && token >= grant.token && token < grant.token + grant.permits ? grant : null
}

/** How a grant that is no longer there ended, as far as is remembered: by its token, or by the session made for it alone. */
export function endingOf(state: State, name: number | string): Ending | null {
  if (typeof name === 'number') return state.ended.find(name)
  return state.endedSingles.young.get(name) ?? state.endedSingles.old.get(name) ?? null
}
