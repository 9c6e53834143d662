/**
 * The way from one server to the store, as an engine: requests and replies take time, get lost, come late and twice; reads are stale. What the store
 * itself does is the real memory store's doing. A request that is under way arrives though its sender has died.
 */
import {
  type CommitRequest,
  type CommitResult,
  type Engine,
  EngineRefusal,
  type KeyValue,
  type Listing,
  type ListOptions,
} from '../../packages/server/src/engine/engine.ts'
import type { MemoryStore } from '../../packages/server/src/engine/memory/store.ts'
import type { Chance } from './chance.ts'
import type { Machine } from './machine.ts'
import type { Network } from './network.ts'

export const STORE = 'store'

export type Fate =
  | 'passes'
  /** It never arrives; the sender gives up waiting. */
  | 'lost'
  /** It is applied, and the sender gives up waiting for the reply. */
  | 'reply_lost'
  /** The sender gives up waiting, and it is applied after that. */
  | 'late'
  /** It is applied once more, later. */
  | 'repeated'
  | 'slow'
  /** For good: nothing is written. */
  | 'refused'

export type StoreRates = Partial<Record<Exclude<Fate, 'passes'> | 'stale' | 'read_lost', number>>

/** What is left of the store's quota. `little`: servers refuse what would grow it. `none`: the store itself refuses whatever writes a value. */
export type Room = 'enough' | 'little' | 'none'

const shares: Record<Room, number> = { enough: 0.5, little: 0.9, none: 1 }

/** The engine for etcd gives a call up after this. */
const ANSWER_MS_MAX = 400
/** Late ones come within this, few of them far later. */
const LATE_MS_MAX = 5_000
const LATE_MS_FAR = 60_000
/** Of the commits that are refused for want of room: applied all the same, and said to be refused. */
const APPLIED_ALL_THE_SAME = 0.1
/** The store can go back by so many commits. */
const STALE_COMMITS_MAX = 40

export type StoreWay = {
  store: MemoryStore
  machine: Machine
  network: Network
  chance: Chance
  /** How often each of these befalls a request now. */
  rates: () => StoreRates
  room: () => Room
  /** Of what befalls when there is no room. */
  roomChance: Chance
  counts: Record<string, number>
  /** Hears of each commit that passed, in order. */
  passed(request: CommitRequest, revision: number): void
}

export class SimulatedEngine implements Engine {
  readonly name = 'memory'
  readonly #way: StoreWay

  constructor(way: StoreWay) {
    this.#way = way
  }

  commit(request: CommitRequest): Promise<CommitResult> {
    const { chance, machine, counts } = this.#way
    const fate = this.#fate()
    counts[fate] = (counts[fate] ?? 0) + 1
    // What is under way cannot be changed by its sender any more.
    const sent = { checks: request.checks.map(check => ({ ...check })), writes: [...request.writes] }
    return new Promise((resolve, reject) => {
      const giveUp = () => this.#after(ANSWER_MS_MAX, () => machine.arrive(() => reject(new Error(`commit: ${fate}`))))
      switch (fate) {
        case 'refused':
          this.#there(() => this.#back(() => reject(new EngineRefusal('storage_full', 'refused by the fault plan'))))
          // On a way that is cut nobody refuses it.
          return void giveUp()
        case 'lost':
          return void giveUp()
        case 'late': {
          const farMs = chance.isLuckyAt(0.1) ? LATE_MS_FAR : LATE_MS_MAX
          this.#after(ANSWER_MS_MAX + chance.between(0, farMs), () => this.#apply(sent))
          return void giveUp()
        }
        case 'slow':
          return void this.#after(chance.between(50, 1_500), () => this.#exchange(sent, { resolve, reject }))
        case 'reply_lost':
          this.#there(() => this.#apply(sent))
          return void giveUp()
        case 'repeated':
          this.#after(chance.between(1, chance.isLuckyAt(0.2) ? LATE_MS_FAR : LATE_MS_MAX), () => this.#apply(sent))
          return this.#exchange(sent, { resolve, reject })
        case 'passes':
          return this.#exchange(sent, { resolve, reject })
      }
    })
  }

  read(key: string, { atLeast = 0 }: { atLeast?: number } = {}): Promise<KeyValue | null> {
    return this.#ask(() => {
      const revision = this.#staleRevision(atLeast)
      if (revision === null) return this.#way.store.get(key)
      const { pairs } = this.#way.store.list({ prefix: key, limit: 1, revision })
      return pairs[0]?.key === key ? pairs[0] : null
    })
  }

  list(options: ListOptions): Promise<Listing> {
    return this.#ask(() => {
      const revision = options.revision === undefined ? this.#staleRevision(options.atLeast ?? 0) : null
      return this.#way.store.list(revision === null ? options : { ...options, revision })
    })
  }

  /** Nobody here watches: the shards poll. */
  async *watch(): AsyncIterable<void> {}

  async size() {
    const bytes = this.#way.store.usedBytes()
    return { usedBytes: bytes, liveBytes: bytes, quotaBytes: Math.ceil(bytes / shares[this.#way.room()]) }
  }

  async close(): Promise<void> {}

  #fate(): Fate {
    const rates = this.#way.rates()
    let draw = this.#way.chance.fraction()
    for (const fate of ['lost', 'reply_lost', 'late', 'repeated', 'slow', 'refused'] as const) {
      draw -= rates[fate] ?? 0
      if (draw < 0) return fate
    }
    return 'passes'
  }

  #exchange(
    request: CommitRequest,
    { resolve, reject }: { resolve: (result: CommitResult) => void; reject: (error: unknown) => void },
  ): void {
    const { machine, network } = this.#way
    let isOver = false
    const giveUp = this.#after(ANSWER_MS_MAX, () =>
      machine.arrive(() => {
        if (!isOver) reject(new Error('commit: no answer'))
        isOver = true
      }),
    )
    this.#there(() => {
      const result = this.#apply(request)
      network.whenOpen({ from: STORE, to: machine.name }, () =>
        this.#back(() => {
          giveUp()
          if (isOver) return
          isOver = true
          if (result instanceof Error) reject(result)
          else resolve(result)
        }),
      )
    })
  }

  /** A request on a broken way is lost: its connection is given up with it. */
  #there(act: () => void): void {
    const { machine, network } = this.#way
    this.#after(network.delayMs(), () => {
      if (!network.isCut(machine.name, STORE)) act()
    })
  }

  #back(act: () => void): void {
    this.#after(this.#way.network.delayMs(), () => this.#way.machine.arrive(act))
  }

  #apply(request: CommitRequest): CommitResult | Error {
    const isPut = request.writes.some(write => 'value' in write)
    return isPut && this.#way.room() === 'none' ? this.#withoutRoom(request) : this.#applied(request)
  }

  /**
   * The store says that it is full, perhaps of what it has applied. As the engine for etcd has it, which finds out whether the checks still pass: if they do not, what
   * they found is the answer, whoever changed it; and where that tells nothing, the outcome is unknown.
   */
  #withoutRoom(request: CommitRequest): CommitResult | Error {
    const { store, roomChance, counts } = this.#way
    const { checks, writes } = request
    counts.no_room = (counts.no_room ?? 0) + 1
    if (roomChance.isLuckyAt(APPLIED_ALL_THE_SAME) && this.#applied(request).ok)
      counts.no_room_yet_applied = (counts.no_room_yet_applied ?? 0) + 1
    const isTelling = checks.some(({ key }) => writes.some(write => 'key' in write && write.key === key))
    if (!isTelling) return new Error('commit: no room, or none that could be known')
    const probe = store.commit({ checks, writes: [] })
    return probe.ok ? new EngineRefusal('storage_full', 'refused for want of room') : probe
  }

  #applied(request: CommitRequest): CommitResult {
    const result = this.#way.store.commit(request)
    if (result.ok) this.#way.passed(request, result.revision)
    return result
  }

  #ask<Result>(answer: () => Result): Promise<Result> {
    const { machine, network, chance, rates, counts } = this.#way
    return new Promise((resolve, reject) => {
      let isOver = false
      const giveUp = this.#after(ANSWER_MS_MAX, () =>
        machine.arrive(() => {
          isOver = true
          reject(new Error('read: no answer'))
        }),
      )
      if (chance.isLuckyAt(rates().read_lost ?? 0)) {
        counts.read_lost = (counts.read_lost ?? 0) + 1
        return
      }
      this.#there(() => {
        let found: Result
        try {
          found = answer()
        } catch (error) {
          return this.#back(() => reject(error))
        }
        network.whenOpen({ from: STORE, to: machine.name }, () =>
          this.#back(() => {
            giveUp()
            if (!isOver) resolve(found)
          }),
        )
      })
    })
  }

  /** null: the newest. A member of the store that lags answers with what it has, but not with less than is asked for. */
  #staleRevision(atLeast: number): number | null {
    const { store, chance, rates, counts } = this.#way
    if (!chance.isLuckyAt(rates().stale ?? 0)) return null
    const revision = Math.max(atLeast, store.revision - 1 - chance.below(STALE_COMMITS_MAX), 1)
    if (revision >= store.revision) return null
    counts.stale = (counts.stale ?? 0) + 1
    return revision
  }

  #after(delayMs: number, act: () => void): () => void {
    return this.#way.machine.schedule.after(delayMs, act)
  }
}
