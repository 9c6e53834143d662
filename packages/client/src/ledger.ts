/**
 * What the session holds, and how long that may be believed. Handles read it, replies extend it, the list of grants that the server
 * sends after a change corrects it. It acts on nobody: what it finds lost it says, and the session tells the server.
 */
import type { WireGrant } from '@holdfast/protocol/frame'
import { Belief, beliefMs, endBeliefMs, later, warningMs } from './belief.ts'
import { deadlineAfter, type Instant, remainingMs } from './clock.ts'
import type { LockLostReason } from './errors.ts'
import { Holding, type Preempting } from './holding.ts'

/** When the request that brought a grant was sent, first and last, how long it waited by the owner's account, and which changes its owner knew of. */
export type Arrival = { firstSentAt: Instant; sentAt: Instant; waitedMs: number; now: Instant; changes?: number }

export class Ledger {
  readonly belief: Belief
  readonly holdings = new Map<number, Holding>()
  /** How many grants have arrived. */
  grantsSeen = 0
  /** The session has been told to end: whatever is still said of its grants was true before. */
  isClosed = false
  readonly #limited = new Set<Holding>()
  /** Tokens that other sessions have handed to this one and that were taken up here, for as long as lists have them. */
  readonly #takenUp = new Set<number>()
  readonly #failed: (error: unknown) => void
  readonly #unwound: () => void
  #isAtRisk = false
  #unwinding = 0

  /** `failed` hears what users' listeners throw; `unwound` when the work under lost locks has stopped. */
  constructor(ttlMs: number, listener: { failed: (error: unknown) => void; unwound: () => void }) {
    this.belief = new Belief(ttlMs)
    this.#failed = listener.failed
    this.#unwound = listener.unwound
  }

  /** Work under a lock that is lost has not stopped yet: the service should not be told that this side knows. */
  get isUnwinding(): boolean {
    return this.#unwinding > 0
  }

  /** A grant has arrived: a new holding, or one more handle of one that is there. */
  hold(grant: WireGrant, arrival: Arrival): Holding {
    this.grantsSeen++
    let holding = this.holdings.get(grant.token)
    if (holding) {
      holding.handles++
      // It may have been on its way for long. What has been heard of the grant since, and acknowledged, stands (SAFETY P14, P16).
      if (this.isOutdated(arrival)) return holding
    } else {
      holding = new Holding(grant, this.grantsSeen)
      this.holdings.set(grant.token, holding)
    }
    if (grant.ends_in_ms !== undefined) this.#limit(holding, grant.ends_in_ms, arrival)
    return holding
  }

  /** Whoever said it knew less than has been heard of and acknowledged here. */
  isOutdated({ changes }: { changes?: number | undefined }): boolean {
    return changes !== undefined && changes < this.belief.processedChanges
  }

  /** The same of a grant that another session has handed to this one. */
  takeUp(grant: WireGrant, arrival: Arrival): Holding {
    this.#takenUp.add(grant.token)
    return this.hold(grant, arrival)
  }

  /**
   * Those that nobody here holds, or has held: what was taken up and given up again is listed until the server has heard of it, and whoever took it
   * up a second time would believe in what is about to be another's.
   */
  unheld(grants: readonly WireGrant[]): WireGrant[] {
    return grants.filter(({ token }) => !this.holdings.has(token) && !this.#takenUp.has(token))
  }

  /** Whether it was handed over by another session and taken up here, be it held still or given up again. */
  wasTakenUp(token: number): boolean {
    return this.#takenUp.has(token)
  }

  /** Two things are proven: the end comes after the first sending and the wait, and after the last sending. */
  #limit(holding: Holding, endsInMs: number, arrival: Arrival): void {
    const { ttlMs } = this.belief
    const plain = deadlineAfter(arrival.sentAt, endBeliefMs({ endsInMs, ttlMs }))
    const waited = deadlineAfter(arrival.firstSentAt, endBeliefMs({ endsInMs, ttlMs, waitedMs: arrival.waitedMs }))
    holding.limit = later(plain, waited, arrival.now)
    // Of a hold whose end is known for the first time: later lists know it better, but warn no sooner.
    holding.warnedBeforeMs ||= warningMs(holding.limitMs(arrival.now))
    this.#limited.add(holding)
  }

  /** One handle gives it up. With the last one it is no longer believed. */
  leave(holding: Holding): void {
    holding.handles--
    if (holding.handles === 0) this.forget(holding)
  }

  forget(holding: Holding): void {
    this.holdings.delete(holding.token)
    if (holding.limit !== null) this.#limited.delete(holding)
  }

  /** Resolves when the work under it has stopped; null: at once. */
  lose(holding: Holding, reason: LockLostReason): Promise<unknown> | null {
    this.forget(holding)
    const unwinding = holding.lose(reason, this.#failed)
    if (!unwinding) return null
    this.#unwinding++
    return unwinding.then(() => {
      this.#unwinding--
      if (this.#unwinding === 0) this.#unwound()
    })
  }

  loseAll(reason: LockLostReason): Promise<unknown> {
    if (reason === 'session_closed') this.isClosed = true
    return Promise.all([...this.holdings.values()].map(holding => this.lose(holding, reason)))
  }

  remainingMs(holding: Holding, now: Instant): number {
    return Math.min(this.belief.remainingMs(now), holding.limitMs(now))
  }

  /** What keeps it from being relied on for so long, in words. */
  whyNoLonger({ notice, limit }: Holding, forMs: number): string {
    if (notice) return `${notice.by} is to have it (${notice.reason})`
    const mostMs = Math.floor(beliefMs({ ttlMs: this.belief.ttlMs }))
    if (limit === null && forMs > mostMs)
      return `with a ttlMs of ${this.belief.ttlMs} it never can be for more than ${mostMs} ms`
    return limit === null ? 'it was not renewed for a while' : 'its longest hold is nearly over'
  }

  /** The holder is asked to give way; says so once for each notice. What listeners are told, `limit` has heard before. */
  notice(holding: Holding, { by, reason, graceMs }: Preempting): void {
    if (holding.notice) return
    holding.notice = { by, reason }
    void holding.emit('preempting', { by, reason, graceMs }, this.#failed)
  }

  /**
   * A push said so. It proves nothing of when the grace began, for it may have lain in the socket: it can only shorten what is believed, until the list of
   * grants says more.
   */
  noticed(holding: Holding, notice: Preempting, now: Instant): void {
    const limit = deadlineAfter(now, endBeliefMs({ endsInMs: notice.graceMs, ttlMs: this.belief.ttlMs }))
    if (remainingMs(limit, now) < holding.limitMs(now)) {
      holding.limit = limit
      this.#limited.add(holding)
    }
    this.notice(holding, notice)
  }

  /** The longest hold is nearly over; told once. */
  expiring(holding: Holding, endsInMs: number): void {
    if (holding.isExpiring) return
    holding.isExpiring = true
    void holding.emit('expiring', { endsInMs: Math.max(0, endsInMs) }, this.#failed)
  }

  /** How long until its holder should hear that the longest hold is nearly over. The service warns by its own count, which ends later than belief. */
  #expiringInMs(holding: Holding, now: Instant): number {
    if (holding.isExpiring || holding.notice) return Number.POSITIVE_INFINITY
    return holding.limitMs(now) - holding.warnedBeforeMs
  }

  /**
   * Takes over the server's list of what the session holds, asked for at `sentAt` when `grantsSeen` grants had arrived. What it lacks is
   * lost; unless it arrived after the asking, for then the list may be older than the grant: `isComplete` says whether there was such a one.
   * `unknown` are grants that no holding stands for.
   */
  adopt(grants: readonly WireGrant[], asked: { grantsSeen: number; sentAt: Instant; now: Instant }) {
    const listed = new Map(grants.map(grant => [grant.token, grant]))
    for (const token of this.#takenUp) if (!listed.has(token)) this.#takenUp.delete(token)
    let isComplete = true
    for (const holding of [...this.holdings.values()]) {
      const grant = listed.get(holding.token)
      listed.delete(holding.token)
      if (grant) this.#correct(holding, grant, asked)
      else if (holding.serial <= asked.grantsSeen)
        void this.lose(holding, holding.limit ? holding.limitReason() : 'forced')
      else isComplete = false
    }
    return { isComplete, unknown: [...listed.values()] }
  }

  #correct(holding: Holding, grant: WireGrant, asked: { sentAt: Instant; now: Instant }): void {
    if (grant.ends_in_ms === undefined) {
      holding.limit = null
      this.#limited.delete(holding)
      return
    }
    this.#limit(holding, grant.ends_in_ms, {
      firstSentAt: asked.sentAt,
      sentAt: asked.sentAt,
      waitedMs: 0,
      now: asked.now,
    })
    if (grant.notice) this.notice(holding, { ...grant.notice, graceMs: grant.ends_in_ms })
  }

  /** Loses what must no longer be believed, and returns it. `reason`: what to call it when the session's deadline has passed. */
  check(now: Instant, reason: LockLostReason): { holding: Holding; unwinding: Promise<unknown> | null }[] {
    const gone: { holding: Holding; unwinding: Promise<unknown> | null }[] = []
    const lose = (holding: Holding, why: LockLostReason) => gone.push({ holding, unwinding: this.lose(holding, why) })
    const remainingMs = this.belief.remainingMs(now)
    if (remainingMs <= 0) for (const holding of [...this.holdings.values()]) lose(holding, reason)
    for (const holding of [...this.#limited]) {
      if (holding.limitMs(now) <= 0) lose(holding, holding.limitReason())
      else if (this.#expiringInMs(holding, now) <= 0) this.expiring(holding, holding.limitMs(now))
    }
    if (remainingMs >= this.belief.riskMs()) this.#isAtRisk = false
    else this.warn(remainingMs)
    return gone
  }

  /** Tells all holders, once until belief has been extended, that they may soon lose what they hold. */
  warn(validForMs: number): void {
    if (this.#isAtRisk) return
    this.#isAtRisk = true
    for (const holding of [...this.holdings.values()])
      void holding.emit('atRisk', { validForMs: Math.max(0, validForMs) }, this.#failed)
  }

  /** How long until `check` will have something to say, if nothing is extended. */
  dueMs(now: Instant): number {
    if (this.holdings.size === 0) return Number.POSITIVE_INFINITY
    const remainingMs = this.belief.remainingMs(now)
    let dueMs = this.#isAtRisk ? remainingMs : Math.max(0, remainingMs - this.belief.riskMs())
    for (const holding of this.#limited) dueMs = Math.min(dueMs, holding.limitMs(now), this.#expiringInMs(holding, now))
    return Math.max(0, dueMs)
  }
}
