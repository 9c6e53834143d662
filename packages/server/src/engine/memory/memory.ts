/**
 * A store in memory. Without a fault plan it is plain and correct, and forgets everything with the process; with one it
 * behaves as badly as the contract of an engine allows, in the way that a seed says.
 */
import { type Clock, pause } from '../../clock.ts'
import {
  type CommitRequest,
  type CommitResult,
  type Engine,
  EngineRefusal,
  type EngineSize,
  type KeyValue,
  type Listing,
  type ListOptions,
} from '../engine.ts'
import { refuseCommit, refuseKey, refuseListing } from '../request.ts'
import { type FaultCounts, type FaultPlan, Faults } from './faults.ts'
import { MemoryStore } from './store.ts'

type Request = CommitRequest
export type MemoryEngine = Engine & { readonly store: MemoryStore; readonly faults: FaultCounts | null }

export type MemoryOptions = {
  /** Shared by the engines of several servers. */
  store?: MemoryStore
  /** With it the clock that its delays go by. */
  faults?: { plan: FaultPlan; clock: Clock }
  /** Sees every commit that passed, late duplicates too: the ground truth that tests judge by. */
  tap?: (request: Request, revision: number) => void
}

export function openMemory({ store = new MemoryStore(), faults, tap }: MemoryOptions = {}): MemoryEngine {
  const memory = new Memory(store, tap)
  if (!faults) return memory
  return new FaultyMemory(store, tap, faults)
}

class Memory implements MemoryEngine {
  readonly name = 'memory'
  readonly store: MemoryStore
  readonly #tap: MemoryOptions['tap']
  #isClosed = false

  constructor(store: MemoryStore, tap: MemoryOptions['tap']) {
    this.store = store
    this.#tap = tap
  }

  get faults(): FaultCounts | null {
    return null
  }

  async read(key: string, { atLeast = 0 }: { atLeast?: number } = {}): Promise<KeyValue | null> {
    this.#assertOpen()
    refuseKey(key)
    this.store.refuseFuture(atLeast)
    return this.store.get(key)
  }

  async list(options: ListOptions): Promise<Listing> {
    this.#assertOpen()
    refuseListing(options)
    return this.store.list(options)
  }

  async commit(request: Request): Promise<CommitResult> {
    this.#assertOpen()
    refuseCommit(request)
    const result = this.store.commit(request)
    if (result.ok) this.#tap?.(request, result.revision)
    return result
  }

  async *watch({ prefix, signal }: { prefix: string; signal: AbortSignal }): AsyncIterable<void> {
    let news = 0
    let wake: (() => void) | null = null
    const tell = () => {
      wake?.()
      wake = null
    }
    const stop = this.store.watch(key => {
      if (!key.startsWith(prefix)) return
      news += this.hints()
      tell()
    })
    signal.addEventListener('abort', tell)
    try {
      while (!signal.aborted && !this.#isClosed) {
        if (news > 0) {
          news--
          yield
        } else await new Promise<void>(resolve => (wake = resolve))
      }
    } finally {
      stop()
      signal.removeEventListener('abort', tell)
    }
  }

  async size(): Promise<EngineSize> {
    const bytes = this.store.usedBytes()
    return { usedBytes: bytes, liveBytes: bytes, quotaBytes: null }
  }

  async close(): Promise<void> {
    this.#isClosed = true
  }

  /** How many hints one change is worth. */
  protected hints(): number {
    return 1
  }

  #assertOpen(): void {
    if (this.#isClosed) throw new EngineRefusal('bad_request', 'the engine has been closed')
  }
}

class FaultyMemory extends Memory {
  readonly #faults: Faults
  readonly #clock: Clock
  /** What the store held before each of the latest commits; only kept for stale reads. */
  readonly #past: { revision: number; pairs: KeyValue[] }[] = []
  readonly #keepsPast: number

  constructor(store: MemoryStore, tap: MemoryOptions['tap'], { plan, clock }: { plan: FaultPlan; clock: Clock }) {
    super(store, tap)
    this.#faults = new Faults(plan)
    this.#clock = clock
    this.#keepsPast = plan.rates.stale ? (plan.staleCommitsMax ?? 20) : 0
  }

  override get faults(): FaultCounts {
    return this.#faults.counts
  }

  override async read(key: string, options: { atLeast?: number } = {}): Promise<KeyValue | null> {
    await this.#delay()
    const past = this.#stalePast(options.atLeast)
    if (past) return past.pairs.find(pair => pair.key === key) ?? null
    return super.read(key, options)
  }

  override async list(options: ListOptions): Promise<Listing> {
    await this.#delay()
    const past = options.revision === undefined ? this.#stalePast(options.atLeast) : null
    if (!past) return super.list(options)
    const beyond = past.pairs.filter(
      ({ key }) => key.startsWith(options.prefix) && (options.after === undefined || key > options.after),
    )
    const pairs = beyond.slice(0, options.limit)
    return { pairs, revision: past.revision, more: beyond.length > pairs.length }
  }

  override async commit(request: Request): Promise<CommitResult> {
    await this.#delay()
    if (this.#faults.strikes('refused')) throw new EngineRefusal('storage_full', 'refused by the fault plan')
    if (this.#faults.strikes('lostBefore')) throw new Error('lost before it was applied, says the fault plan')
    this.#remember()
    const result = await super.commit(request)
    if (this.#faults.strikes('lateDuplicate')) {
      this.#clock.after(this.#faults.duplicateMs(), () => {
        this.#remember()
        // Nobody hears of the outcome: that is what makes it a late duplicate.
        void super.commit(request).catch(() => undefined)
      })
    }
    if (this.#faults.strikes('replyLost')) throw new Error('the reply was lost, says the fault plan')
    return result
  }

  protected override hints(): number {
    if (this.#faults.strikes('watchDropped')) return 0
    return this.#faults.strikes('watchLied') ? 2 : 1
  }

  async #delay(): Promise<void> {
    if (this.#faults.strikes('delayed')) await pause(this.#clock, this.#faults.delayMs())
  }

  #remember(): void {
    if (this.#keepsPast === 0) return
    const pairs: KeyValue[] = []
    for (let after: string | undefined; ; ) {
      const page = this.store.list({ prefix: '', limit: 10_000, ...(after === undefined ? {} : { after }) })
      pairs.push(...page.pairs)
      if (!page.more) break
      after = page.pairs.at(-1)!.key
    }
    this.#past.push({ revision: this.store.revision, pairs })
    if (this.#past.length > this.#keepsPast) this.#past.shift()
  }

  #stalePast(atLeast = 0): { revision: number; pairs: KeyValue[] } | null {
    if (this.#past.length === 0 || !this.#faults.strikes('stale')) return null
    const past = this.#past[Math.max(0, this.#past.length - this.#faults.staleCommits())]!
    // Even the worst store that keeps the contract is not older than what it is asked for.
    return past.revision >= atLeast ? past : null
  }
}
