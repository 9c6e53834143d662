/** A client of the small world with time: what the library knows of what it holds (`Ledger`, `Belief`, `Renewal`), and when; without its connections. */
import type { WireGrant } from '@holdfast/protocol/frame'
import type { Instant } from '../../../packages/client/src/clock.ts'
import { UnavailableError } from '../../../packages/client/src/errors.ts'
import { Ledger } from '../../../packages/client/src/ledger.ts'
import { Renewal } from '../../../packages/client/src/renewal.ts'
import { PlainRequest, type Request, type SuccessReply } from '../../../packages/client/src/requests.ts'
import { grantedReply, replyTo } from '../../../packages/server/src/http/connect/replies.ts'
import type { Answer } from '../../../packages/server/src/shards/port.ts'

/** What was sent longer ago proves nothing any more; who believes for longer believes to the end. */
const AGE_MS_MAX = 4_000

export class Holder {
  readonly name: string
  readonly session: string
  readonly #rate: number
  #nowMs = 1_000
  readonly #ledger: Ledger
  readonly #renewal: Renewal
  #asked: Request | null = null

  constructor({ name, session, ttlMs, rate }: { name: string; session: string; ttlMs: number; rate: number }) {
    this.name = name
    this.session = session
    this.#rate = rate
    this.#ledger = new Ledger(ttlMs, { failed: () => undefined, unwound: () => undefined })
    this.#renewal = new Renewal({
      ledger: this.#ledger,
      hasOthers: true,
      submit: request => this.#send(request),
      failed: () => undefined,
      distrust: () => undefined,
    })
  }

  /** It holds something, by its own clock. */
  get believes(): boolean {
    const now = this.#now()
    return [...this.#ledger.holdings.values()].some(holding => this.#ledger.remainingMs(holding, now) > 0)
  }

  get isRenewing(): boolean {
    return this.#asked !== null
  }

  /** A heartbeat is due, and none is under way. */
  get isDue(): boolean {
    return this.#asked === null && this.#renewal.dueMs(this.#now()) <= 0
  }

  pass(ms: number): void {
    this.#nowMs += Math.round(ms * this.#rate)
  }

  renew(): void {
    this.#renewal.beat(this.#now())
  }

  /** It asks for the lock. Returns who is to be told of the answer. */
  ask(): { hear(answer: Answer | null): void } {
    const request = new PlainRequest<unknown>(
      { id: 0, type: 'acquire', name: 'l' },
      { resolve: () => undefined, reject: () => undefined, survives: false },
    )
    this.#send(request)
    return { hear: answer => this.hear(answer) }
  }

  /** The answer has come; null: that there is none. */
  hear(answer: Answer | null): void {
    const request = this.#asked
    if (!request) return
    this.#asked = null
    const reply = answer && this.#replyOf(answer)
    if (!reply) return request.fail(new UnavailableError('no answer'))
    const now = this.#now()
    const { sentAt } = request
    const { grant } = reply as { grant?: WireGrant } // the reply to an acquire, by the frame contract
    if (grant && sentAt) this.#ledger.hold(grant, { firstSentAt: sentAt, sentAt, waitedMs: 0, now })
    if (request instanceof PlainRequest) this.#renewal.confer(request, reply, now)
    request.succeed(reply, now)
  }

  state(): unknown {
    const now = this.#now()
    const sentMs = this.#asked?.sentAt?.monotonicMs
    const held = [...this.#ledger.holdings.values()].map(one => clamped(this.#ledger.remainingMs(one, now)))
    const age = sentMs === undefined ? null : Math.min(AGE_MS_MAX, this.#nowMs - sentMs)
    return [held, age, this.#asked ? null : Math.max(0, this.#renewal.dueMs(now))]
  }

  #replyOf(answer: Answer): SuccessReply | null {
    const reply =
      answer.ok && answer.type === 'granted'
        ? grantedReply(0, answer, { isSet: false })
        : replyTo(0, answer, { wallMs: 0, sees: () => true })
    return reply.error === undefined ? (reply as SuccessReply) : null // as was just seen
  }

  #now(): Instant {
    return { monotonicMs: this.#nowMs, bootMs: this.#nowMs }
  }

  #send(request: Request): void {
    request.sentAt = this.#now()
    request.firstSentAt = request.sentAt
    this.#asked = request
  }
}

function clamped(ms: number): number {
  return Math.min(AGE_MS_MAX, Math.max(0, ms))
}
