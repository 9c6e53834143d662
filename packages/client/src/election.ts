/**
 * Elections: the leader holds the lock of that name, and the lock carries what the leader proclaims. So leadership is everything that holding
 * is: a token to fence with, a signal when it ends, and the same promise that nobody else believes to lead meanwhile.
 */
import { type AcquireOptions, acquire } from './acquire.ts'
import { hasCode, type LockLostError } from './errors.ts'
import { type Lock, releaseQuietly } from './lock.ts'
import { type Names, refuseUnknown } from './option-names.ts'
import type { Rest } from './rest.ts'
import type { Session } from './session.ts'
import type { Leader } from './views.ts'
import { watch } from './watch.ts'

export type CampaignOptions = Pick<
  AcquireOptions,
  'waitMs' | 'signal' | 'priority' | 'preempt' | 'labels' | 'metadata' | 'maxHoldMs' | 'onQueued'
>

const campaignNames: Names<CampaignOptions> = {
  waitMs: true,
  signal: true,
  priority: true,
  preempt: true,
  labels: true,
  metadata: true,
  maxHoldMs: true,
  onQueued: true,
}

/** Before the service is asked again that did not answer. */
const AGAIN_MS = 1_000

export class Leadership implements AsyncDisposable {
  /** The lock that is the leadership. */
  readonly lock: Lock
  readonly #session: Session

  /** Only a campaign makes leaders. */
  constructor(session: Session, lock: Lock) {
    this.#session = session
    this.lock = lock
  }

  /** Larger than that of every leader before. */
  get token(): number {
    return this.lock.token
  }

  /** Aborted, with a `LockLostError`, when the leadership ends otherwise than by `resign`. */
  get signal(): AbortSignal {
    return this.lock.signal
  }

  /** Changes the value that everybody can read. Refused when somebody else leads by now. */
  proclaim(value: string): Promise<void> {
    return this.lock.setValue(value)
  }

  /** Gives the leadership up; the next candidate is elected in the same step. */
  resign(): Promise<void> {
    return this.lock.release()
  }

  onLost(call: (error: LockLostError) => void): () => void {
    return this.lock.on('lost', call)
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await releaseQuietly(this.#session, this.lock)
  }
}

export class Election {
  readonly name: string
  readonly #session: Session
  readonly #rest: Rest

  constructor(session: Session, rest: Rest, name: string) {
    this.#session = session
    this.#rest = rest
    this.name = name
  }

  /** Stands for election with a value, and resolves when elected. Without `waitMs` it stands until then or until its `signal`. */
  async campaign(value: string, options: CampaignOptions = {}): Promise<Leadership> {
    refuseUnknown('campaign()', options, campaignNames)
    return new Leadership(this.#session, await acquire(this.#session, { name: this.name, value }, options))
  }

  /** Who leads, and with what value; null if nobody does. True when answered. */
  leader(): Promise<Leader | null> {
    return this.#rest.leader(this.name)
  }

  /**
   * Who leads: at first, and after each change of leader or value. Changes that follow closely may come as one, the last one is never
   * missed.
   */
  observe(options: { signal?: AbortSignal } = {}): AsyncGenerator<Leader | null> {
    refuseUnknown('observe()', options, { signal: true })
    const stop = new AbortController()
    const leaders = this.#observe(options.signal ? AbortSignal.any([options.signal, stop.signal]) : stop.signal)
    // A generator returns when it next comes to a `yield`, which may be never.
    const end = leaders.return.bind(leaders)
    leaders.return = value => {
      stop.abort()
      return end(value)
    }
    return leaders
  }

  /** Over an interruption, as the watch is. */
  async #leader(signal: AbortSignal): Promise<Leader | null> {
    for (;;) {
      try {
        return await this.leader()
      } catch (error) {
        if (!hasCode(error, 'unavailable')) throw error
        if (signal.aborted) return null
      }
      await new Promise<void>(resolve => this.#session.clock.after(AGAIN_MS, resolve))
    }
  }

  async *#observe(signal: AbortSignal): AsyncGenerator<Leader | null> {
    // Watched from before it is first read, so that no change falls between.
    const events = watch(this.#session, { name: this.name, signal })
    try {
      let last: string | undefined
      // Awaited below, perhaps much later; what it rejects with is thrown there.
      const nextEvent = () => {
        const event: Promise<IteratorResult<unknown>> = events.next()
        event.catch(() => undefined)
        return event
      }
      let next = nextEvent()
      await this.#session.ask({ id: 0, type: 'value', name: this.name }, { survives: true }).catch(() => {
        // Only to be behind the watch on the same connection; there need not be a value.
      })
      for (;;) {
        const leader = await this.#leader(signal)
        if (signal.aborted) return
        const seen = JSON.stringify(leader)
        if (seen !== last) yield leader
        last = seen
        const item = await next
        if (item.done) return
        next = nextEvent()
      }
    } finally {
      await events.return?.()
    }
  }
}
