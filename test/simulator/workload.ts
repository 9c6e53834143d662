/**
 * What clients do: they take locks in every mode, alone and in sets, wait, give up waiting, write what the lock protects with their token, hand over,
 * come late with tokens of the past, and release. All of it drawn from the seed of the client. Each call of the library is one operation.
 */
import { LockHeldError } from '../../packages/client/src/errors.ts'
import type { Lock } from '../../packages/client/src/lock.ts'
import { Violation } from '../checker/judge.ts'
import type { Operation } from '../checker/linear.ts'
import { Call, type Refusal } from './call.ts'
import type { Chance } from './chance.ts'
import {
  asked,
  claimed,
  configuredLock,
  exclusiveLocks,
  heldBy,
  refusalOf,
  semaphore,
  sets,
  sharedLock,
} from './claims.ts'
import type { Client as Simulated } from './clients.ts'
import { asks, type Entries, entriesOf } from './entries.ts'
import { codeOf, GivenUp, isOfTheService, pauseMs } from './failures.ts'

/** One that works: of the simulator, or a real one. */
export type Client = Pick<Simulated, 'name' | 'session' | 'holdfast' | 'sleep' | 'reopen'> & {
  options: { instance: string }
}

/** What a worker needs of the world. */
export type Stage<Of extends Client = Client> = {
  nowMs(): number
  /** Counts one operation; false: the run has had its operations. */
  takesOne(): boolean
  /** What was counted was no call after all. */
  askedNothing?(): void
  /** A number for an acquire, by which the log knows it. */
  nextOperation(): number
  /** Clients enter what they hold once more, and take permits without naming a limit. */
  isWide?(): boolean
  /** Before each round of work, if it is not to go as fast as it can. */
  paced?(client: Of): Promise<void>
  others(client: Of): Of[]
  began(client: Of, lock: Lock): void
  holds(client: Of, lock: Lock): void
  released(client: Of, lock: Lock, askedMs: number): void
  refused(client: Of, refusal: Refusal): void
  /** A write is on its way to what the lock protects. */
  protectedWrite(client: Of, lock: { name: string; token: number }): void
  history(lock: string, instance: string): { push(operation: Operation): unknown }
  /** What has been learned of an operation that was pushed. */
  learned?(operation: Operation): void
  counted(what: string): void
  fail(error: unknown): void
  /** Those that are not done. */
  readonly workers: Set<{ doing: string }>
}

/** How often a client looks whether something has been handed to it. */
const RECEIVE_MS = 2_000
const names = [...exclusiveLocks, ...exclusiveLocks, sharedLock, semaphore.name]
const wideNames = [...names, configuredLock]

export async function work<Of extends Client>(stage: Stage<Of>, client: Of, chance: Chance): Promise<void> {
  const worker = new Worker(stage, client, chance)
  stage.workers.add(worker)
  while (stage.takesOne()) {
    try {
      await stage.paced?.(client)
      await worker.once()
    } catch (error) {
      if (error instanceof Violation || !isOfTheService(error)) return stage.fail(error)
      stage.counted(`failed ${error.code}`)
      if (error.code === 'storage_full' && worker.doing.includes(' release '))
        return stage.fail(new Violation(`I18: a release is refused for want of room: ${worker.doing}`))
      // Nobody asks again at once.
      await client.sleep(pauseMs(error.code, chance))
    }
  }
  stage.workers.delete(worker)
}

/** Takes up what others have handed to this client, and gives it back soon; until the session is closed, for the news of it may be lost. */
export async function receive<Of extends Client>(stage: Stage<Of>, client: Of): Promise<void> {
  const { session, holdfast } = client
  while (!session.isClosed) {
    try {
      const { grants } = session.isOpen ? await session.unheldGrants(list => list) : { grants: [] }
      for (const { name, request_id } of grants) {
        // Of a request that is still to be answered.
        if (request_id !== undefined) continue
        const lock = await holdfast.adopt(name)
        if (!lock) continue
        const { counts } = entriesOf(session)
        counts.set(lock.token, (counts.get(lock.token) ?? 0) + 1)
        stage.began(client, lock)
        await client.sleep(20)
        if (lock.isHeld) stage.holds(client, lock)
        await lock.release()
        counts.set(lock.token, (counts.get(lock.token) ?? 1) - 1)
      }
    } catch (error) {
      if (error instanceof Violation || !isOfTheService(error)) return stage.fail(error)
    }
    await client.sleep(RECEIVE_MS)
  }
}

class Worker {
  /** What it awaits, for whoever finds that it never comes. */
  doing = ''
  readonly #stage: Stage
  readonly #client: Client
  readonly #chance: Chance
  #past: { name: string; token: number } | null = null

  constructor(stage: Stage, client: Client, chance: Chance) {
    this.#stage = stage
    this.#client = client
    this.#chance = chance
  }

  async once(): Promise<void> {
    const chance = this.#chance
    const draw = chance.below(100)
    if (draw < 3) return this.#comeLate()
    if (draw < 6) return this.#readValue()
    if (draw < 13) return this.#acquireSet()
    if (draw < 14) return this.#close()
    const lock = await this.#acquire()
    if (lock) await this.#hold(lock)
  }

  async #acquire(): Promise<Lock | null> {
    const chance = this.#chance
    const isWide = this.#stage.isWide?.() ?? false
    const name = chance.pick(isWide ? wideNames : names)
    const operation = this.#stage.nextOperation()
    const giveUp = chance.below(12) === 0 ? new AbortController() : null
    if (giveUp) void this.#client.sleep(chance.between(0, 300)).then(() => giveUp.abort(new GivenUp()))
    const options = {
      waitMs: chance.pick([0, 50, 2_000, 2_000, Number.POSITIVE_INFINITY]),
      metadata: { operation },
      ...(chance.below(5) === 0 ? { priority: chance.pick([1, 2, 5]) } : {}),
      ...(chance.below(20) === 0 ? { preempt: chance.pick(['graceful', 'immediate'] as const) } : {}),
      ...(chance.below(12) === 0 ? { maxHoldMs: chance.pick([200, 2_000]) } : {}),
      ...(chance.below(12) === 0 ? { lockDelayMs: 300 } : {}),
      ...(giveUp ? { signal: giveUp.signal } : {}),
      ...(isWide && exclusiveLocks.includes(name) && chance.below(3) === 0 ? { reentrant: true } : {}),
    }
    const { holdfast } = this.#client
    const claim = claimed(name, { chance, isWide })
    const ask = () => {
      if (claim.mode === 'shared') return holdfast.locks.shared(name).acquire(options)
      if (claim.mode === 'exclusive') return holdfast.acquire(name, options)
      const { permits, limit } = claim
      return holdfast.semaphore(name, limit > 0 ? { limit } : {}).acquire({ ...options, permits })
    }
    const call = this.#begin(name)
    const isAlone = !this.#entries().asking.get(name)
    const answered = asks(this.#entries(), this.#stage, [name])
    try {
      const lock = await ask()
      // Else it may have entered what another was granted long before, and has not heard of yet.
      this.#believes(lock, isAlone ? call : undefined)
      return lock
    } catch (error) {
      if (!(error instanceof GivenUp) && !isOfTheService(error)) throw error
      const isRefused = error instanceof LockHeldError
      if ((options.reentrant || (isWide && error instanceof GivenUp)) && !isRefused) this.#entries().unsure.add(name)
      if (isRefused || codeOf(error) === 'storage_full')
        this.#stage.refused(this.#client, { operation, why: error.message, askedMs: call.calledMs })
      if (isRefused) call.ends(refusalOf(error.details.reason, { claim, by: operation }))
      if (!isRefused && !(error instanceof GivenUp)) throw error
      this.#stage.counted(error instanceof GivenUp ? 'given up' : 'refused')
      await this.#client.sleep(chance.between(1, 40))
      return null
    } finally {
      answered()
    }
  }

  async #acquireSet(): Promise<void> {
    const chance = this.#chance
    const claims = chance.below(2) === 0 ? sets.exclusive : sets.mixed
    const calls = claims.map(({ name }) => this.#begin(name))
    const waitMs = chance.pick([0, 500, 3_000])
    let locks: readonly Lock[]
    const operation = this.#stage.nextOperation()
    const named = claims.map(({ name }) => name)
    const answered = asks(this.#entries(), this.#stage, named)
    try {
      locks = (await this.#client.holdfast.acquireAll(claims.map(asked), { waitMs, metadata: { operation } })).locks
    } catch (error) {
      if (error instanceof LockHeldError) {
        this.#stage.refused(this.#client, { operation, why: error.message, askedMs: calls[0]!.calledMs })
        this.#stage.counted('refused')
        for (const [index, claim] of claims.entries())
          calls[index]?.ends(refusalOf(error.details.reason, { claim, by: operation, set: operation }))
        return
      }
      throw error
    } finally {
      answered()
    }
    for (const [index, lock] of locks.entries()) this.#believes(lock, calls[index], operation)
    await this.#client.sleep(chance.between(0, 60))
    await this.#releaseAll(locks)
  }

  /** Each of them, whatever becomes of the others. */
  async #releaseAll(locks: readonly Lock[]): Promise<void> {
    const failures: unknown[] = []
    for (const lock of locks) await this.#release(lock).catch(error => failures.push(error))
    if (failures.length > 0) throw failures[0]
  }

  async #hold(acquired: Lock): Promise<void> {
    const chance = this.#chance
    let lock = acquired
    const isLong = chance.below(25) === 0
    if (this.#stage.isWide?.() && lock.mode === 'exclusive' && chance.below(4) === 0) {
      lock = await this.#enter(lock)
    }
    const deeds = chance.below(3)
    for (let deed = 0; deed <= deeds; deed++) {
      await this.#client.sleep(isLong ? chance.between(0, 1_500) : chance.between(0, 25))
      if (lock.isHeld) {
        this.#stage.holds(this.#client, lock)
        // Between the check and the write there is the way there.
        if (lock.mode === 'exclusive') this.#stage.protectedWrite(this.#client, lock)
        if (deed < deeds && (await this.#use(lock)) === 'handed over') return
      }
    }
    this.#past = { name: lock.name, token: lock.token }
    await this.#release(lock)
  }

  /**
   * Enters it once more, and leaves it as often but once, in either order. Returns what is left to be held.
   */
  async #enter(lock: Lock): Promise<Lock> {
    const chance = this.#chance
    const giveUp = chance.below(3) === 0 ? new AbortController() : null
    if (giveUp) void this.#client.sleep(chance.between(0, 30)).then(() => giveUp.abort(new GivenUp()))
    const options = {
      reentrant: true,
      waitMs: chance.pick([0, 300]),
      within: lock,
      ...(giveUp && { signal: giveUp.signal }),
    }
    if (!this.#stage.takesOne()) return lock
    const operation = this.#stage.nextOperation()
    const call = this.#begin(lock.name, undefined, 'enter')
    const answered = asks(this.#entries(), this.#stage, [lock.name])
    let inner: Lock
    try {
      inner = await this.#client.holdfast.acquire(lock.name, { ...options, metadata: { operation } })
    } catch (error) {
      if (!(error instanceof GivenUp) && !isOfTheService(error)) throw error
      this.#stage.counted(error instanceof GivenUp ? 'entry given up' : `entry failed ${error.code}`)
      this.#entries().unsure.add(lock.name)
      return lock
    } finally {
      answered()
    }
    this.#believes(inner, call)
    await this.#client.sleep(chance.between(0, 20))
    const isFirstLeftFirst = chance.below(2) === 0
    const [left, kept] = isFirstLeftFirst ? [lock, inner] : [inner, lock]
    // Of the other nobody else would let go.
    await this.#release(left).catch(error => this.#releaseAll([kept]).then(() => Promise.reject(error)))
    return kept
  }

  /** It holds the lock, perhaps once more than before. */
  #believes(lock: Lock, call: Call | undefined, set?: number): void {
    const { counts, unsure } = this.#entries()
    const count = counts.get(lock.token)
    counts.set(lock.token, (count ?? 0) + 1)
    if (count !== undefined) this.#stage.counted('entered')
    const isNew = count === undefined && !unsure.has(lock.name)
    call?.ends(isNew ? heldBy(lock, set) : { does: 'see', held: lock.token })
    this.#stage.began(this.#client, lock)
  }

  #entries(): Entries {
    return entriesOf(this.#client.session)
  }

  async #use(lock: Lock): Promise<'kept' | 'handed over'> {
    const draw = this.#chance.below(10)
    if (draw > 3 || !this.#stage.takesOne()) return 'kept'
    try {
      if (draw === 0) return (await this.#transfer(lock)) ? 'handed over' : 'kept'
      await (draw === 1 ? this.#write(lock) : this.#validate(lock))
    } catch (error) {
      if (!isOfTheService(error)) throw error
      this.#stage.counted(`failed ${error.code}`)
    }
    return 'kept'
  }

  async #validate(lock: Lock): Promise<void> {
    const call = this.#begin(lock.name, undefined, 'validate')
    await lock.validate()
    call.ends({ does: 'see', held: lock.token })
  }

  async #write(lock: Lock): Promise<void> {
    const value = `${lock.token}`
    const deed = { does: 'write', token: lock.token, value } as const
    const call = this.#begin(lock.name, deed, 'write')
    try {
      await lock.setValue(value)
      call.ends(deed)
    } catch (error) {
      if (codeOf(error) === 'stale_token') call.isVoid()
      throw error
    }
  }

  async #transfer(lock: Lock): Promise<boolean> {
    const to = this.#chance.pick([...this.#stage.others(this.#client), this.#client])
    if (to === this.#client || to.session.id === '') {
      this.#stage.askedNothing?.()
      return false
    }
    const call = this.#begin(lock.name, undefined, 'transfer')
    if (this.#stage.isWide?.()) entriesOf(to.session).unsure.add(lock.name)
    try {
      const token = await lock.transfer(to.session.id)
      call.ends({ does: 'transfer', token: lock.token, to: token })
      return true
    } catch (error) {
      // It is believed again: the library has not heard that it is not.
      if (lock.isHeld) this.#stage.began(this.#client, lock)
      throw error
    }
  }

  async #release(lock: Lock): Promise<void> {
    if (!this.#stage.takesOne()) this.#stage.counted('beyond')
    const askedMs = this.#stage.nowMs()
    const call = this.#begin(lock.name, undefined, 'release')
    const session = this.#client.session
    const { counts, asking, unsure } = this.#entries()
    const wasHeld = lock.isHeld
    const isAsking = (asking.get(lock.name) ?? 0) > 0
    await lock.release()
    // What was lost is given back whenever that is answered, and a session that was closed lets go of what it had asked: nothing is certain of them.
    if (wasHeld) counts.set(lock.token, (counts.get(lock.token) ?? 1) - 1)
    if (!wasHeld || session.isClosed) return
    // It has been left, and is held as long as it was entered once more.
    if (isAsking || counts.get(lock.token) !== 0 || (asking.get(lock.name) ?? 0) > 0 || unsure.has(lock.name)) return
    call.ends({ does: 'leave', token: lock.token })
    this.#stage.released(this.#client, lock, askedMs)
  }

  /** A token of the past is refused. */
  async #comeLate(): Promise<void> {
    const past = this.#past
    if (!past) return this.#stage.askedNothing?.()
    this.#stage.protectedWrite(this.#client, past)
    const call = this.#begin(past.name, undefined, 'come late')
    try {
      await this.#client.session.ask(
        { id: 0, type: 'validate', name: past.name, token: past.token },
        { survives: true },
      )
      call.ends({ does: 'see', held: past.token })
    } catch (error) {
      if (codeOf(error) !== 'stale_token' && codeOf(error) !== 'lock_lost') throw error
      call.ends({ does: 'miss', token: past.token })
      this.#stage.counted('stale refused')
    }
  }

  async #readValue(): Promise<void> {
    const name = this.#chance.pick(exclusiveLocks)
    const call = this.#begin(name, undefined, 'read')
    const stored = await this.#client.holdfast.value(name)
    call.ends({ does: 'read', value: stored?.value ?? null })
  }

  async #close(): Promise<void> {
    const { session, holdfast, name } = this.#client
    this.doing = `${name} close`
    await holdfast.close()
    if (this.#client.session === session) this.#client.reopen()
    this.#stage.counted('closed')
  }

  #begin(name: string, deed: Operation['deed'] = { does: 'nothing' }, doing = 'acquire'): Call {
    this.doing = `${this.#client.name} ${doing} ${name} since ${this.#stage.nowMs()}`
    return new Call(this.#stage.history(name, this.#client.options.instance), this.#stage, deed)
  }
}
