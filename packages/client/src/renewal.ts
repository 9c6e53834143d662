/**
 * Staying alive, and staying informed.
 *
 * A heartbeat goes out when nothing else has conferred time for a third of the TTL. And when the server reports changes that were
 * not processed (a push was lost, or has just come), the list of grants is asked for, taken over, and then acknowledged by one more renewal: the
 * acknowledgement is what lets the next in line have the lock before the last promise made here has run out (SAFETY P14).
 */
import type { HoldfastError } from '@holdfast/protocol/errors'
import type { WireGrant } from '@holdfast/protocol/frame'
import type { Instant } from './clock.ts'
import type { Ledger } from './ledger.ts'
import { RenewRequest, type Request, type SuccessReply } from './requests.ts'

const HEARTBEAT_OF_TTL = 1 / 3
/** A heartbeat unanswered for this part of the TTL, with nothing else received, means that the connection is dead. */
const SILENCE_OF_TTL = 1 / 4
const SILENCE_MS_MIN = 500
/** The most where there is another server to go to. Each answers a renewal within a second, even one that cannot say more than that. */
const SILENCE_OF_MANY_MS_MAX = 2_000
/** Anything else that is unanswered for so long makes us ask whether the server is there. */
const QUIET_MS = 1_000
/** A server that is there, and for so long has known nothing to say of our session, does not reach the one that decides: another one may. */
const UNSERVED_MS = 3_000
/** Wake-ups come twice a second while anything is unanswered; one that comes later than this comes after a stall. */
const STALL_MS = 1_000

export type RenewalPorts = {
  ledger: Ledger
  /** There are other servers to go to. */
  hasOthers: boolean
  submit(request: Request): void
  failed(error: HoldfastError): void
  /** Whoever is at the other end must not be believed: find somebody else. */
  distrust(why: string): void
}

export type GrantList = { grants: WireGrant[]; sentAt: Instant }
/** `asked`: its list, and those that are asked for later, are no older than the question. */
type ListListener = { asked: RenewRequest; resolve: (list: GrantList) => void; reject: (error: unknown) => void }

export class Renewal {
  readonly #ports: RenewalPorts
  #inFlight = new Set<RenewRequest>()
  /** Who waits for a list. */
  #listeners: ListListener[] = []
  #isResumed = false
  #acknowledged = 0
  /** The latest ownership that has answered in this session. */
  #epoch = 0
  /** On the monotonic clock: when the newest request that conferred time was sent. */
  #conferredAtMs = 0
  #listenedAtMs = 0
  /** Since when renewals have been answered with nothing but that the outcome is unknown. */
  #unservedSinceMs: number | null = null

  constructor(ports: RenewalPorts) {
    this.#ports = ports
  }

  /** A session has been opened or resumed. What was in flight on the connection before has failed with it. */
  restart(state: { acknowledged: number; at: Instant; isResumed: boolean }): void {
    this.#acknowledged = state.acknowledged
    // Another session may be one of another cluster, which counts for itself.
    if (!state.isResumed) this.#epoch = 0
    this.#isResumed = state.isResumed
    this.#conferredAtMs = state.at.monotonicMs
    this.#unservedSinceMs = null
  }

  /** The server that has welcomed us can be asked. A welcome confers nothing; what is held needs a reply. */
  begin(): void {
    if (this.#isResumed) this.catchUp()
  }

  /** It is asked again; `unavailable` or too often. */
  refused(request: Request, nowMs: number): void {
    if (request instanceof RenewRequest) this.#unservedSinceMs ??= nowMs
  }

  /** Believes what the reply proves; or, when something has happened that this side does not know, finds out first. */
  confer(request: Request, reply: SuccessReply, now: Instant): void {
    const { sentAt, firstSentAt } = request
    this.#unservedSinceMs = null
    if (reply.ttl_ms === undefined || sentAt === null || !this.#isOfPresentOwner(request, reply)) return
    // Absent only where nothing is held yet.
    const { ttl_ms: ttlMs, changes = 0 } = reply
    const waitedMs = typeof reply.waited_ms === 'number' ? reply.waited_ms : 0
    const { belief } = this.#ports.ledger
    if (!belief.confer({ since: sentAt, ttlMs, waitedMs: 0, changes }, now)) return this.catchUp()
    if (waitedMs > 0 && firstSentAt) belief.confer({ since: firstSentAt, ttlMs, waitedMs, changes }, now)
    this.#conferredAtMs = Math.max(this.#conferredAtMs, sentAt.monotonicMs)
  }

  /**
   * A server that was stopped with its machine, and does not know how long, may answer for an ownership that has ended. What it answers from
   * memory proves nothing then; what it had to commit does, for that it could not (SAFETY P16).
   */
  #isOfPresentOwner(request: Request, reply: SuccessReply): boolean {
    const epoch = epochOf(request, reply)
    // Without one: a commit, if it is not the answer to a repeat.
    if (epoch === null) return request.sentAt === request.firstSentAt
    if (epoch >= this.#epoch) {
      this.#epoch = epoch
      return true
    }
    // Of a grant it may also be a repeat that finds what a former owner granted: the next renewal tells.
    if (reply.epoch !== undefined) this.#ports.distrust('the server answers for an ownership that has ended')
    return false
  }

  /** How long until a heartbeat is due. */
  dueMs(now: Instant): number {
    if (this.#inFlight.size > 0) return this.#silenceMs()
    return Math.max(0, this.#conferredAtMs + this.#ports.ledger.belief.ttlMs * HEARTBEAT_OF_TTL - now.monotonicMs)
  }

  /** Sends a heartbeat if one is due and none is in flight. */
  beat(now: Instant): void {
    if (this.#inFlight.size === 0 && this.dueMs(now) <= 0) this.#renew({ wantsGrants: false })
  }

  /**
   * Is the server there? Called with every wake-up: asks it when something else has been unanswered for long, and gives the connection up when it
   * does not answer. What it has said while this side stood still lies in the socket, and is read before it is judged.
   */
  listen(now: Instant, heard: { receivedAtMs: number; unansweredSinceMs: number | null }): void {
    const isAwake = now.monotonicMs - this.#listenedAtMs < STALL_MS
    this.#listenedAtMs = now.monotonicMs
    if (!isAwake) return
    const { hasOthers, distrust } = this.#ports
    const { receivedAtMs, unansweredSinceMs } = heard
    const quietSinceMs = Math.max(receivedAtMs, unansweredSinceMs ?? now.monotonicMs)
    const isQuiet = hasOthers && now.monotonicMs - quietSinceMs >= QUIET_MS
    if (isQuiet && this.#inFlight.size === 0) this.#renew({ wantsGrants: false })
    const isUnserved = now.monotonicMs - (this.#unservedSinceMs ?? now.monotonicMs) >= UNSERVED_MS
    if (hasOthers && isUnserved) distrust('the server does not reach the one that decides')
    else if (this.#isSilent(now, receivedAtMs)) distrust('the server has fallen silent')
  }

  /** Whether a renewal has been unanswered for so long, and nothing received since, that the connection must be dead. */
  #isSilent(now: Instant, receivedAtMs: number): boolean {
    for (const { sentAt } of this.#inFlight) {
      if (sentAt === null) continue
      const quietSinceMs = Math.max(sentAt.monotonicMs, receivedAtMs)
      if (now.monotonicMs - quietSinceMs > this.#silenceMs()) return true
    }
    return false
  }

  #silenceMs(): number {
    const { ledger, hasOthers } = this.#ports
    const ms = Math.max(SILENCE_MS_MIN, ledger.belief.ttlMs * SILENCE_OF_TTL)
    return hasOthers ? Math.min(ms, SILENCE_OF_MANY_MS_MAX) : ms
  }

  /** The server has seen more changes than this side: fetch the grants, unless that is under way. */
  catchUp(): void {
    for (const request of this.#inFlight) if (request.body.type === 'renew' && request.body.wants_grants) return
    this.#renew({ wantsGrants: true })
  }

  /**
   * Asks for the server's list of what the session holds. `take` gets it when it has been taken over and has conferred time, and before anything else
   * is heard: what comes next, in the same frame perhaps, may end what is listed.
   */
  list<Taken>(take: (list: GrantList) => Taken): Promise<Taken> {
    return new Promise((resolve, reject) => {
      const asked = this.#made({ wantsGrants: true })
      const taking = (list: GrantList) => {
        try {
          resolve(take(list))
        } catch (error) {
          reject(error)
        }
      }
      this.#listeners.push({ asked, resolve: taking, reject })
      this.#ports.submit(asked)
    })
  }

  /** A list that was on its way already when somebody asked may lack what has been handed over since: it is not for them. */
  #tellListeners({ id }: RenewRequest, tell: (listener: ListListener) => void): void {
    const told = this.#listeners.filter(({ asked }) => asked.id <= id)
    this.#listeners = this.#listeners.filter(({ asked }) => asked.id > id)
    for (const listener of told) tell(listener)
  }

  /** Says what has been processed, if the server does not know. */
  acknowledge(): void {
    const { ledger } = this.#ports
    if (ledger.belief.processedChanges > this.#acknowledged && !ledger.isUnwinding) this.#renew({ wantsGrants: false })
  }

  #renew(what: { wantsGrants: boolean }): void {
    this.#ports.submit(this.#made(what))
  }

  #made({ wantsGrants }: { wantsGrants: boolean }): RenewRequest {
    const { ledger } = this.#ports
    // What is known, but still being wound up here, is not said yet: until then the last promise protects it.
    const seen = ledger.isUnwinding ? this.#acknowledged : ledger.belief.processedChanges
    this.#acknowledged = seen
    const body = { id: 0, type: 'renew' as const, seen_changes: seen, ...(wantsGrants ? { wants_grants: true } : {}) }
    const request = new RenewRequest(body, ledger.grantsSeen, this.#answered)
    this.#inFlight.add(request)
    return request
  }

  /** They will not be answered, and nothing is wrong: who waits for a list waits for the next one. */
  forget(renewals: readonly RenewRequest[]): void {
    for (const renewal of renewals) this.#inFlight.delete(renewal)
    if (this.#listeners.length > 0) this.catchUp()
  }

  readonly #answered = (
    request: RenewRequest,
    reply: SuccessReply | null,
    error: HoldfastError | null,
    now: Instant | null,
  ) => {
    // An answer to what was asked on a connection that is gone has nothing to say here.
    if (!this.#inFlight.delete(request)) return
    if (error) {
      this.#ports.failed(error)
      if (request.body.type === 'renew' && request.body.wants_grants)
        this.#tellListeners(request, ({ reject }) => reject(error))
    }
    if (!reply || !now || !request.sentAt) return
    // The reply to a renew, by the frame contract.
    const { grants, changes = 0 } = reply as { grants?: WireGrant[]; changes?: number }
    const { ledger } = this.#ports
    if (grants && (ledger.isOutdated({ changes }) || (reply.epoch ?? this.#epoch) < this.#epoch)) {
      // It was on its way for long: what it says of grants may have ended since. Who waits for a list waits for the next one.
      this.confer(request, reply, now)
      return this.#renew({ wantsGrants: true })
    }
    if (grants)
      this.adopted(ledger.adopt(grants, { grantsSeen: request.grantsSeen, sentAt: request.sentAt, now }), changes)
    else if (changes > ledger.belief.processedChanges) this.catchUp()
    this.confer(request, reply, now)
    const { sentAt } = request
    if (grants) this.#tellListeners(request, ({ resolve }) => resolve({ grants, sentAt }))
  }

  /** A list of grants has been taken over. */
  adopted({ isComplete }: { isComplete: boolean }, changes: number): void {
    const { belief } = this.#ports.ledger
    if (changes <= belief.processedChanges) return
    if (isComplete) {
      belief.processedChanges = changes
      this.acknowledge()
    } else this.catchUp()
  }
}

/** Grants of one epoch; the tokens of the next one begin here. */
const TOKENS_PER_EPOCH = 2 ** 32

/** The ownership that answered, or that granted what is answered; null: the reply does not say. */
function epochOf({ body }: Request, { epoch, grant, grants }: SuccessReply): number | null {
  // The list that a renewal brings has grants of any age.
  if (epoch !== undefined || body.type === 'renew') return epoch ?? null
  // An acquire is answered with one grant, or with all of a set, which are made in one step.
  const first = (grant ?? (grants as WireGrant[] | undefined)?.[0]) as WireGrant | undefined
  return first === undefined ? null : Math.floor(first.token / TOKENS_PER_EPOCH)
}
