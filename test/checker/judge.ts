/**
 * Judges a log, entry by entry, with a model of its own: holders, order, tokens. It shares no code with the core, so that a bug there
 * cannot hide in its own mirror. `entry` judges one entry, `settle` what must be true once a decision and all that follows from it are
 * in the log. Both throw a `Violation` that names the invariant (VERIFICATION section 6).
 */
import type { Config, Delay, Entry, Freeze, Grant, Session, Waiter } from '../../packages/server/src/locks/model.ts'

export class Violation extends Error {
  override readonly name = 'Violation'
}

const AGEING_MS = 10_000
const endings = new Set(['released', 'expired', 'preempted', 'forced', 'transferred', 'session_closed', 'max_hold'])

type Holding = { mode: Grant['mode']; permits: number; slots: number[] | null }

export class Judge {
  readonly grants = new Map<string, Map<number, Grant>>()
  readonly delays = new Map<string, Map<number, Delay>>()
  readonly waiters = new Map<number, Waiter>()
  readonly sessions = new Map<string, Session>()
  readonly configs = new Map<string, Config>()
  readonly freezes = new Map<string, Freeze>()
  lastToken = 0
  /** The waiter whose place in line was taken from it last, to be granted now. */
  private next: { waiter: Waiter; left: Set<string> } | null = null

  entry(entry: Entry, now: number): void {
    switch (entry.record) {
      case 'grant':
        if (entry.value) this.granted(entry, entry.value, now)
        else this.ended(entry)
        break
      case 'wait':
        this.waited(entry, now)
        break
      case 'delay':
        put(this.delays, entry.lock, entry.token, entry.value)
        break
      case 'session':
        if (entry.value) this.sessions.set(entry.session, entry.value)
        else this.sessions.delete(entry.session)
        break
      case 'config':
        set(this.configs, entry.lock, entry.value)
        break
      case 'freeze':
        set(this.freezes, entry.prefix, entry.value)
        break
      default:
        break
    }
  }

  private granted(entry: Extract<Entry, { record: 'grant' }>, grant: Grant, now: number): void {
    const holders = this.grants.get(entry.lock) ?? new Map<number, Grant>()
    const before = holders.get(entry.token)
    if (entry.type !== 'granted') {
      if (!before) throw new Violation(`I1: ${entry.type} for a grant that is not there: ${entry.lock} ${entry.token}`)
      if (before.session !== grant.session || before.mode !== grant.mode)
        throw new Violation('I10: a grant changed hands without a new token')
      put(this.grants, entry.lock, entry.token, grant)
      return
    }
    if (before) throw new Violation(`I2: token ${entry.token} granted twice`)
    if (entry.token <= this.lastToken) throw new Violation(`I2: token ${entry.token} after ${this.lastToken}`)
    this.lastToken = entry.token + grant.permits - 1
    if (!this.sessions.has(grant.session)) throw new Violation(`I11: granted to ${grant.session}, which has no session`)
    const isTransfer = entry.why?.reason === 'transferred'
    this.legal(entry.lock, grant, isTransfer)
    if (!isTransfer) this.inOrder(entry.lock, grant, now)
    put(this.grants, entry.lock, entry.token, grant)
  }

  /** I1: nothing that is held, or still promised, conflicts. */
  private legal(lock: string, grant: Grant, isTransfer: boolean): void {
    const present: Holding[] = [...(this.grants.get(lock)?.values() ?? []), ...(this.delays.get(lock)?.values() ?? [])]
    if (grant.mode === 'exclusive' && present.length > 0)
      throw new Violation(`I1: exclusive grant of ${lock} beside another`)
    if (grant.mode === 'shared' && present.some(other => other.mode !== 'shared'))
      throw new Violation(`I1: shared grant of ${lock} beside a writer`)
    if (grant.mode !== 'permits') return
    const used = present.reduce((sum, other) => sum + other.permits, 0)
    const limit = this.configs.get(lock)?.limit ?? grant.limit
    // A limit may have been lowered since the permits were granted; handing them on takes no more.
    if (used + grant.permits > limit && !isTransfer)
      throw new Violation(`I1: ${used} + ${grant.permits} permits of ${limit} on ${lock}`)
    const taken = new Set(present.flatMap(other => other.slots ?? []))
    if (grant.slots?.length !== grant.permits || grant.slots.some(slot => taken.has(slot)))
      throw new Violation(`I1: a slot of ${lock} is taken twice`)
  }

  /** I7: nobody who waits for the lock goes before; and no freeze is in force. */
  private inOrder(lock: string, grant: Grant, now: number): void {
    for (const freeze of this.freezes.values())
      if (lock.startsWith(freeze.prefix)) throw new Violation(`I1: ${lock} granted while frozen`)
    if (this.next?.left.delete(lock)) {
      if (this.next.waiter.session !== grant.session)
        throw new Violation('I7: the place in line of one was given to another')
      if (this.next.left.size === 0) this.next = null
      return
    }
    const rank = now - grant.priority * AGEING_MS
    for (const waiter of this.waiters.values()) {
      if (waiter.claims.some(claim => claim.lock === lock) && waiter.rank <= rank)
        throw new Violation(`I7: ${grant.session} overtook ${waiter.session} on ${lock}`)
    }
  }

  private ended(entry: Extract<Entry, { record: 'grant' }>): void {
    if (!endings.has(entry.type)) throw new Violation(`I15: a grant ended by ${entry.type}`)
    if (!this.grants.get(entry.lock)?.has(entry.token))
      throw new Violation(`I1: ${entry.type} of a grant that is not there: ${entry.lock} ${entry.token}`)
    put(this.grants, entry.lock, entry.token, null)
  }

  private waited(entry: Extract<Entry, { record: 'wait' }>, now: number): void {
    if (entry.value) {
      if (!this.sessions.has(entry.value.session)) throw new Violation('I11: a wait without a session')
      if (entry.value.rank !== now - entry.value.priority * AGEING_MS)
        throw new Violation('I7: a rank that is not arrival less priority')
      this.waiters.set(entry.ticket, entry.value)
      return
    }
    const waiter = this.waiters.get(entry.ticket)
    if (!waiter) throw new Violation(`I7: ticket ${entry.ticket} left a queue it was not in`)
    if (entry.why?.reason === 'granted') {
      for (const claim of waiter.claims) {
        if (this.first(claim.lock) !== waiter)
          throw new Violation(`I7: ${waiter.session} was granted ${claim.lock} out of turn`)
      }
      this.next = { waiter, left: new Set(waiter.claims.map(claim => claim.lock)) }
    }
    this.waiters.delete(entry.ticket)
  }

  private first(lock: string): Waiter | null {
    let first: Waiter | null = null
    for (const waiter of this.waiters.values()) {
      if (!waiter.claims.some(claim => claim.lock === lock)) continue
      if (!first || waiter.rank < first.rank || (waiter.rank === first.rank && waiter.ticket < first.ticket))
        first = waiter
    }
    return first
  }

  /** What must hold between decisions, when nothing is left to follow. */
  settle(): void {
    if (this.next) throw new Violation('I14: a set was granted in part')
    for (const [lock, holders] of this.grants) {
      for (const grant of holders.values())
        if (!this.sessions.has(grant.session))
          throw new Violation(`I11: ${lock} is held by ${grant.session}, which has ended`)
    }
    for (const waiter of this.waiters.values()) {
      if (!this.sessions.has(waiter.session)) throw new Violation(`I11: ${waiter.session} waits, and has ended`)
    }
    for (const { session, claims } of this.grantable())
      throw new Violation(`I8: ${session} is first in line for what is free: ${claims.map(claim => claim.lock)}`)
  }

  /** Those who are first in line for what is free. */
  *grantable(): Generator<Waiter> {
    for (const waiter of this.waiters.values()) if (this.couldBeGranted(waiter)) yield waiter
  }

  private couldBeGranted(waiter: Waiter): boolean {
    return waiter.claims.every(claim => {
      for (const freeze of this.freezes.values()) if (claim.lock.startsWith(freeze.prefix)) return false
      if (this.first(claim.lock) !== waiter) return false
      const present: Holding[] = [
        ...(this.grants.get(claim.lock)?.values() ?? []),
        ...(this.delays.get(claim.lock)?.values() ?? []),
      ]
      if (claim.mode === 'exclusive') return present.length === 0
      if (claim.mode === 'shared') return present.every(other => other.mode === 'shared')
      const [holder] = this.grants.get(claim.lock)?.values() ?? []
      const limit = this.configs.get(claim.lock)?.limit ?? holder?.limit ?? claim.limit
      return present.reduce((sum, other) => sum + other.permits, 0) + claim.permits <= limit
    })
  }
}

function put<Item>(map: Map<string, Map<number, Item>>, lock: string, token: number, item: Item | null): void {
  const items = map.get(lock) ?? new Map<number, Item>()
  if (item) items.set(token, item)
  else items.delete(token)
  if (items.size > 0) map.set(lock, items)
  else map.delete(lock)
}

function set<Item>(map: Map<string, Item>, key: string, item: Item | null): void {
  if (item) map.set(key, item)
  else map.delete(key)
}
