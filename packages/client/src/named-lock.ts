/** One lock by its name and the way in which it is to be held: what `locks.shared`, `locks.exclusive` and `semaphore` answer. */
import type { WireMode } from '@holdfast/protocol/frame'
import { type AcquireOptions, acquire, acquireNames, type SingleClaim } from './acquire.ts'
import { LockHeldError } from './errors.ts'
import { type Lock, releaseQuietly } from './lock.ts'
import { LockSet } from './lock-set.ts'
import { type Names, optionsFirst, unknownOption } from './option-names.ts'
import type { Session } from './session.ts'
import { Line } from './task.ts'

export type NamedOptions = AcquireOptions & {
  /** Of a semaphore: how many at once. Default 1. */
  permits?: number
}

export type TryOptions = Omit<NamedOptions, 'waitMs'>

const namedNames: Names<NamedOptions> = { ...acquireNames, permits: true }
const { waitMs: _neverWaits, ...tryNames } = acquireNames
/** Of a lock by its plain name: permits are a semaphore's. */
export const plainTryNames: Names<Omit<TryOptions, 'permits'>> = tryNames
const namedTryNames: Names<TryOptions> = { ...tryNames, permits: true }

export class NamedLock {
  readonly name: string
  readonly #session: Session
  readonly #mode: WireMode
  readonly #limit: number | undefined

  constructor(session: Session, kind: { name: string; mode: WireMode; limit?: number | undefined }) {
    this.#session = session
    this.name = kind.name
    this.#mode = kind.mode
    this.#limit = kind.limit
  }

  /** Waits in line until it is granted. */
  acquire(options: NamedOptions = {}): Promise<Lock> {
    const refusal = unknownOption('acquire()', options, this.#namesOf(namedNames, acquireNames))
    return refusal ? Promise.reject(refusal) : acquire(this.#session, this.#claim(options), options)
  }

  /** null when somebody else's hold is in the way. */
  tryAcquire(options: TryOptions = {}): Promise<Lock | null> {
    const refusal = unknownOption('tryAcquire()', options, this.#namesOf(namedTryNames, plainTryNames))
    return refusal ? Promise.reject(refusal) : tryAcquire(this.#session, this.#claim(options), options)
  }

  using<Result>(routine: (lock: Lock) => Result): Promise<Awaited<Result>>
  using<Result>(options: NamedOptions, routine: (lock: Lock) => Result): Promise<Awaited<Result>>
  async using<Result>(
    ...given: [(lock: Lock) => Result] | [NamedOptions, (lock: Lock) => Result]
  ): Promise<Awaited<Result>> {
    const { options, routine } = optionsFirst<NamedOptions, (lock: Lock) => Result>('using()', given[0], given[1])
    return runHolding(this.#session, await this.acquire(options), routine)
  }

  /** Only a semaphore has permits. */
  #namesOf<Semaphores, Others>(semaphores: Semaphores, others: Others): Semaphores | Others {
    return this.#mode === 'permits' ? semaphores : others
  }

  #claim(options: NamedOptions): SingleClaim {
    const claim: SingleClaim = { name: this.name }
    if (this.#mode !== 'exclusive') claim.mode = this.#mode
    if (this.#limit !== undefined) claim.limit = this.#limit
    if (this.#mode === 'permits') claim.permits = options.permits ?? 1
    return claim
  }
}

export async function tryAcquire(session: Session, claim: SingleClaim, options: TryOptions): Promise<Lock | null> {
  try {
    return await acquire(session, claim, { ...options, waitMs: 0 })
  } catch (error) {
    if (error instanceof LockHeldError) return null
    throw error
  }
}

/**
 * Runs the routine with what it holds, and gives that up when the routine has *settled*, never while it still runs. The result is the
 * routine's own, its value or its error, whatever becomes of the lock or of the release: a routine that must not end well without the lock
 * calls `lock.assertHeld()` last. If the lock is lost meanwhile, `lock.signal` is aborted and nothing is released; and until the routine
 * has settled the service is not told that this side knows, so that nobody gets the lock before the last promise made for it has run out.
 * What is lost before the routine could begin (a grant and its end may lie in one frame) is known to the service, and somebody else's by then:
 * the routine does not begin. @throws LockLostError
 */
export async function runHolding<Held extends Lock | LockSet, Result>(
  session: Session,
  held: Held,
  routine: (held: Held) => Result,
  { holdsBack } = { holdsBack: true },
): Promise<Awaited<Result>> {
  const settled = Promise.withResolvers<void>()
  const locks: readonly Lock[] = held instanceof LockSet ? held.locks : [held]
  if (holdsBack) for (const lock of locks) lock.on('lost', () => settled.promise)
  try {
    held.assertHeld()
    return await session.tasks.run(new Line(held.task), () => routine(held))
  } finally {
    settled.resolve()
    await releaseQuietly(session, held)
  }
}
