/**
 * What is owed to machines that were frozen. A client that was believes in what it was told before for as long as its clock then stood still; a server
 * that was takes itself for an owner until its next beat fails or its time is over by its own clock, and whoever believes what it says meanwhile may be
 * wrong for as long as that was to last (SAFETY section 5). Both are beyond what is assumed, and nothing else is: so each belief is traced to the request that it
 * counts from, and to when the reply to that was heard. That is watched from outside of the library.
 */
import type { Holding } from '../../packages/client/src/holding.ts'
import type { Ledger } from '../../packages/client/src/ledger.ts'
import { MEMBER_TTL_MS } from '../../packages/server/src/shards/membership.ts'
import type { Machine } from './machine.ts'

/** A reading of a client's clocks, and what time it really was. */
export type Reading = { readonly monotonicMs: number; readonly bootMs: number; readonly trueMs: number }

export function readingOf(machine: Machine): Reading {
  return { monotonicMs: machine.hrtimeMs(), bootMs: machine.bootMs(), trueMs: machine.schedule.nowMs }
}

/** In real time: when a request was sent, and its reply heard. */
export type Exchange = { sentMs: number; heardMs: number }

export class Freezes {
  /** In which a server that was frozen may have answered from its memory though others had taken over. */
  readonly #doubtful: { fromMs: number; untilMs: number }[] = []

  serverThawed({ rate, schedule: { nowMs } }: Machine): void {
    this.#doubtful.push({ fromMs: nowMs, untilMs: nowMs + MEMBER_TTL_MS / rate })
  }

  /** Whether a server has been frozen. */
  get hasServers(): boolean {
    return this.#doubtful.length > 0
  }

  /** Whether the answer may be that of such a server. */
  isDoubtful({ sentMs, heardMs }: Exchange): boolean {
    return this.#doubtful.some(({ fromMs, untilMs }) => sentMs <= untilMs && heardMs >= fromMs)
  }
}

/** What the beliefs of one session rest on. */
export class Basis {
  readonly #ledger: Ledger
  readonly #machine: Machine
  /** What the session's deadline counts from. */
  #last: Exchange = { sentMs: Number.POSITIVE_INFINITY, heardMs: 0 }
  readonly #grants = new WeakMap<Holding, Exchange>()

  constructor(ledger: Ledger, machine: Machine) {
    this.#ledger = ledger
    this.#machine = machine
    this.#watchTime()
    this.#watchGrants()
  }

  /** What is believed of the holding now rests on a clock that was frozen since, or on the answer of a server that had been. */
  isShaken(holding: Holding, freezes: Freezes): boolean {
    const { frozenAtMs } = this.#machine
    const grant = this.#grants.get(holding)
    if (this.#last.sentMs < frozenAtMs || freezes.isDoubtful(this.#last)) return true
    if (!grant) return false
    // Its own end, where that is known, counts from its own request.
    return (holding.limit !== null && grant.sentMs < frozenAtMs) || freezes.isDoubtful(grant)
  }

  #watchTime(): void {
    const { belief } = this.#ledger
    const confer = belief.confer.bind(belief)
    belief.confer = (proof, now) => {
      const before = belief.remainingMs(now)
      const isTaken = confer(proof, now)
      if (isTaken && belief.remainingMs(now) > before) this.#last = this.#exchange(proof.since)
      return isTaken
    }
  }

  #watchGrants(): void {
    const ledger = this.#ledger
    const hold = ledger.hold.bind(ledger)
    ledger.hold = (grant, arrival) => {
      const holding = hold(grant, arrival)
      if (!this.#grants.has(holding)) this.#grants.set(holding, this.#exchange(arrival.firstSentAt))
      return holding
    }
  }

  #exchange(sent: object): Exchange {
    if (!('trueMs' in sent) || typeof sent.trueMs !== 'number')
      throw new Error('this is no reading of a simulated clock')
    return { sentMs: sent.trueMs, heardMs: this.#machine.schedule.nowMs }
  }
}
