/**
 * The store as one server sees it. Reads are answered at once. A commit is in the hands of whoever explores: it passes at once, or it is slow, and then it
 * is applied at any later time, and heard of at any time after that, or given up with an unknown outcome; what was given up may still be applied.
 */
import type { CommitRequest, CommitResult, Engine, ListOptions } from '../../../packages/server/src/engine/engine.ts'
import type { MemoryStore } from '../../../packages/server/src/engine/memory/store.ts'

export type Call = {
  number: number
  request: CommitRequest
  sentMs: number
  result: CommitResult | null
  /** Time may pass before it is done. */
  isSlow: boolean
  /** Nobody waits for its answer. */
  isGivenUp: boolean
  resolve(result: CommitResult): void
  reject(error: Error): void
}

export type SlowOptions = {
  store: MemoryStore
  /** Hears of each commit that passed. */
  passed(request: CommitRequest): void
  /** Of the process. */
  nowMs(): number
}

/** What was sent longer ago is old, however long: no deadline reaches so far. */
const AGE_MS_MAX = 4_000

export class SlowEngine implements Engine {
  readonly name = 'memory'
  readonly #options: SlowOptions
  calls: Call[] = []
  #made = 0
  /** Every commit passes at once: the world is being made. */
  isPrompt = true

  constructor(options: SlowOptions) {
    this.#options = options
  }

  commit({ checks, writes }: CommitRequest): Promise<CommitResult> {
    const request = { checks: checks.map(check => ({ ...check })), writes: [...writes] }
    return new Promise((resolve, reject) => {
      const sentMs = this.#options.nowMs()
      const call = {
        number: ++this.#made,
        request,
        sentMs,
        result: null,
        isSlow: false,
        isGivenUp: false,
        resolve,
        reject,
      }
      this.calls.push(call)
      if (this.isPrompt) this.pass(call)
    })
  }

  read: Engine['read'] = async key => this.#options.store.get(key)
  list: Engine['list'] = async (options: ListOptions) => this.#options.store.list(options)
  async *watch(): AsyncIterable<void> {}
  async size() {
    return { usedBytes: 0, liveBytes: 0, quotaBytes: null }
  }
  async close(): Promise<void> {}

  pass(call: Call): void {
    this.apply(call)
    this.hear(call)
  }

  apply(call: Call): void {
    call.result = this.#options.store.commit(call.request)
    if (call.isGivenUp) this.#remove(call)
    if (call.result.ok) this.#options.passed(call.request)
  }

  hear(call: Call): void {
    this.#remove(call)
    if (call.result) call.resolve(call.result)
  }

  giveUp(call: Call): void {
    call.isGivenUp = true
    if (call.result) this.#remove(call)
    call.reject(new Error('no answer'))
  }

  #remove(call: Call): void {
    this.calls = this.calls.filter(other => other !== call)
  }

  /** What may still come of each call. Of revisions only whether they are those that the store has now: an older one never comes back. */
  state(): string {
    const { store, nowMs } = this.#options
    const isNow = (key: string, revision: number) => (store.get(key)?.modRevision ?? 0) === revision
    return this.calls
      .map(({ request, sentMs, result, isSlow, isGivenUp }) => {
        const checks = request.checks.map(({ key, modRevision }) =>
          modRevision === 0 ? 'absent' : isNow(key, modRevision),
        )
        const heard =
          result &&
          (result.ok
            ? [result.revision === store.revision]
            : result.found.map(pair => pair && isNow(pair.key, pair.modRevision)))
        const writes = request.writes.map(write => ('from' in write ? write.from : write.key))
        const age = Math.min(AGE_MS_MAX, nowMs() - sentMs)
        return JSON.stringify([writes, checks, heard, isSlow, isGivenUp, age])
      })
      .join()
  }
}
