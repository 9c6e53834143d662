/**
 * What clients believe at each moment, against each other and against the log. Two beliefs that conflict can only come to overlap when one of them
 * begins, so that is when all are looked at (I4). And nobody may believe in what has expired, whether somebody else holds it or not (I9).
 *
 * Both rest on clocks. What is owed to a machine that was frozen so that no clock of it counted (A3 is broken) is counted, and no violation.
 */
import { Violation } from './judge.ts'

export type Belief = {
  client: string
  lock: string
  token: number
  mode: 'exclusive' | 'shared' | 'permits'
  slots: readonly number[]
  /** Reads the client's clock, and changes nothing. */
  isBelieved(): boolean
  /** It rests on a clock that has been frozen since, or on the word of a server whose clock had been. */
  restsOnFreeze?(): boolean
}

type Held = Pick<Belief, 'client' | 'lock' | 'token' | 'restsOnFreeze'>

export class Beliefs {
  begun = 0
  /** By invariant: beliefs that would break it, were they not owed to a freeze. */
  readonly owed = { I4: 0, I9: 0 }
  readonly #byLock = new Map<string, Map<string, Belief>>()
  /** Tokens of grants that the log has ended by itself, and how. */
  readonly #ended = new Map<string, string>()
  readonly #told = new Set<string>()

  begins(belief: Belief): void {
    this.begun++
    if (!belief.isBelieved()) return
    const others = this.#byLock.get(belief.lock) ?? new Map<string, Belief>()
    for (const [key, other] of others) {
      if (!other.isBelieved()) others.delete(key)
      else if (other.token !== belief.token && conflicts(belief, other))
        this.#breaks(
          'I4',
          [belief, other],
          `${belief.client} believes in ${belief.lock} (${belief.token}) while ${other.client} does (${other.token})`,
        )
    }
    others.set(`${belief.client} ${belief.token}`, belief)
    this.#byLock.set(belief.lock, others)
    this.holds(belief)
  }

  /** The client has just looked whether it holds it, and found that it does. */
  holds(belief: Held): void {
    const { client, lock, token } = belief
    const how = this.#ended.get(`${lock} ${token}`)
    if (how === 'expired') this.#breaks('I9', [belief], `${client} believes in ${lock} (${token}), which has ${how}`)
  }

  /** A grant has ended in the log. */
  ended(grant: { lock: string; token: number; how: string }): void {
    this.#ended.set(`${grant.lock} ${grant.token}`, grant.how)
    if (grant.how !== 'expired') return
    for (const belief of this.#byLock.get(grant.lock)?.values() ?? [])
      if (belief.token === grant.token && belief.isBelieved()) this.holds(belief)
  }

  #breaks(invariant: 'I4' | 'I9', beliefs: readonly Held[], how: string): void {
    if (!beliefs.some(belief => belief.restsOnFreeze?.())) throw new Violation(`${invariant}: ${how}`)
    if (this.#told.has(how)) return
    this.#told.add(how)
    this.owed[invariant]++
  }
}

function conflicts(one: Belief, other: Belief): boolean {
  if (one.mode === 'permits' && other.mode === 'permits') return one.slots.some(slot => other.slots.includes(slot))
  return one.mode !== 'shared' || other.mode !== 'shared'
}
