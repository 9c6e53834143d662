/**
 * What clients were told against what the log says: nothing that was acknowledged is missing (I5), nothing that was refused was done (I18), nothing was
 * done twice (I6), and no resource took a write of an earlier holder after one of a later holder (I3).
 */
import { Violation } from './judge.ts'
import type { Written } from './log.ts'

type Logged = {
  token: number
  lock: string
  session: string
  place: number
  operation: number | null
  ended: string | null
  /** Since it was granted, perhaps by another request of its session. */
  isEntered: boolean
}

export class Grants {
  readonly logged = new Map<number, Logged>()
  readonly #byRequest = new Map<string, number>()
  readonly #refused = new Set<number>()
  readonly #byOperation = new Map<number, number>()
  readonly #accepted = new Map<string, number>()
  stale = 0
  accepted = 0

  wrote({ instance, entry, place }: Written): void {
    if (entry.record !== 'grant') return
    const grant = entry.value
    if (!grant) {
      const logged = this.logged.get(entry.token)
      if (logged) logged.ended = entry.type
      return
    }
    const known = this.logged.get(entry.token)
    if (known && entry.type === 'reentered') known.isEntered = true
    if (entry.type !== 'granted') return
    const operation = grant.metadata?.operation
    const isTransfer = entry.why?.reason === 'transferred'
    const logged: Logged = {
      token: entry.token,
      lock: entry.lock,
      session: grant.session,
      place,
      operation: typeof operation === 'number' && !isTransfer ? operation : null,
      ended: null,
      isEntered: false,
    }
    this.logged.set(entry.token, logged)
    if (isTransfer) return
    // Asked without a request id it may be lost, but never done twice.
    const request =
      grant.request === null ? operation : `${instance} ${grant.session} ${typeof grant.request} ${grant.request}`
    if (request === undefined) return
    const before = this.#byRequest.get(`${request} ${entry.lock}`)
    if (before !== undefined) throw new Violation(`I6: one request was granted twice: ${before} and ${entry.token}`)
    this.#byRequest.set(`${request} ${entry.lock}`, entry.token)
    if (logged.operation === null) return
    this.#byOperation.set(logged.operation, entry.token)
    if (this.#refused.has(logged.operation))
      throw new Violation(`I18: operation ${logged.operation} was refused, and then granted under ${entry.token}`)
  }

  /** A client was told that it has it. */
  told(grant: { lock: string; token: number }): void {
    const logged = this.logged.get(grant.token)
    if (!logged || logged.lock !== grant.lock)
      throw new Violation(`I5: ${grant.lock} was granted under ${grant.token}, and the log does not know it`)
  }

  isHeld(token: number): boolean {
    return this.logged.get(token)?.ended === null
  }

  /** A client was told that its release has been recorded. */
  toldReleased({ lock, token }: { lock: string; token: number }): void {
    if (this.isHeld(token)) throw new Violation(`I18: ${lock} (${token}) was released, and is held`)
  }

  /** A client was told that it does not get it. */
  toldRefused(operation: number): void {
    this.#refused.add(operation)
    const token = this.#byOperation.get(operation)
    // One that came too late for its client, or whose session is over, has been given up; it is held as long as another that has entered it holds it.
    if (token !== undefined && this.isHeld(token) && !this.logged.get(token)?.isEntered)
      throw new Violation(`I18: operation ${operation} was refused, and is granted under ${token}`)
  }

  /** A write under the token arrives at what the lock protects. Returns whether it is taken. */
  write({ lock, token }: { lock: string; token: number }): boolean {
    const highest = this.#accepted.get(lock) ?? 0
    if (token < highest) {
      this.stale++
      return false
    }
    const [now, before] = [this.logged.get(token), this.logged.get(highest)]
    if (!now || (before && now.place < before.place))
      throw new Violation(`I3: ${lock} took a write of an earlier holder: ${token} after ${highest}`)
    this.#accepted.set(lock, token)
    this.accepted++
    return true
  }
}
