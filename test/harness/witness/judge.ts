/**
 * What no fault may do, judged where the clients are: two that believe at once, tokens that do not grow, a resource that accepts a late
 * write or refuses a rightful one, a lock lost that nobody took, an operation that failed. It collects; `verdict` throws all of it.
 */
import { HoldfastError, type Lock } from '@holdfast/client'

export type Failure = { key: string; operation: string; code: string; message: string; atMs: number }

/** A resource that keeps the largest token it has accepted, and refuses smaller ones (SAFETY S3). */
export class Register {
  #largest = 0
  refused = 0

  write(token: number): boolean {
    if (token < this.#largest) {
      this.refused++
      return false
    }
    this.#largest = token
    return true
  }
}

/** Which failures a fault excuses; by default none. */
export type Excuse = (failure: Failure) => boolean

export class Judge {
  readonly failures: Failure[] = []
  readonly excused: Failure[] = []
  /** By lock: the tokens that clients believed in, in the order in which they heard of them. */
  readonly believed = new Map<string, number[]>()
  /** Tokens whose release was acknowledged. */
  readonly released = new Set<number>()
  readonly #violations: string[] = []
  readonly #latest = new Map<string, Lock>()
  readonly #registers = new Map<string, Register>()
  excuse: Excuse = () => false

  violated(what: string): void {
    // The first ones tell; a thousand more of the same would hide them.
    if (this.#violations.length < 50) this.#violations.push(`${new Date().toISOString()} ${what}`)
  }

  registerOf(name: string): Register {
    const register = this.#registers.get(name) ?? new Register()
    this.#registers.set(name, register)
    return register
  }

  /** A client has just been handed the exclusive lock. */
  granted(lock: Lock, { isLossExcused = false }: { isLossExcused?: boolean } = {}): void {
    const { name, token } = lock
    const former = this.#latest.get(name)
    if (former?.isHeld) this.violated(`${name}: ${token} was granted while ${former.token} was believed in`)
    if (former && former.token >= token) this.violated(`${name}: token ${token} came after ${former.token}`)
    this.#latest.set(name, lock)
    const tokens = this.believed.get(name) ?? []
    tokens.push(token)
    this.believed.set(name, tokens)
    if (!this.registerOf(name).write(token)) this.violated(`${name}: a resource refuses the new holder ${token}`)
    if (!isLossExcused) lock.on('lost', error => this.violated(`${name}: ${token} was lost: ${error.message}`))
  }

  /** The holder acts on the resource, if it still believes. */
  act(lock: Lock): void {
    const { name, token } = lock
    if (!lock.isHeld) return
    if (!this.registerOf(name).write(token)) this.violated(`${name}: a resource refuses ${token}, which is believed in`)
  }

  failed(key: string, operation: string, error: unknown): void {
    const code = error instanceof HoldfastError ? error.code : 'no HoldfastError'
    const message = error instanceof Error ? error.message : String(error)
    const failure = { key, operation, code, message, atMs: performance.now() }
    if (this.excuse(failure)) this.excused.push(failure)
    else this.failures.push(failure)
  }

  /** @throws with all that was found. */
  verdict(): void {
    const failures = this.failures
      .slice(0, 20)
      .map(({ key, operation, code, message }) => `${operation} of ${key} failed: ${code}: ${message}`)
    const all = [...this.#violations, ...failures]
    if (all.length > 0)
      throw new Error(
        `${this.#violations.length} violations, ${this.failures.length} failed operations:\n${all.join('\n')}`,
      )
  }
}
