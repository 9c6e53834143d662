/**
 * Room in the store. A store that is full takes nothing any more, not even the beats of its owners and the releases that would make room.
 * So before it is, what would grow it is refused: acquires, sessions, configuration. Releases, renewals, expiries and hand-overs go on, and
 * with what they end, and with tending, the room comes back by itself.
 *
 * Who asks again for what it has been granted before is answered as ever: a refusal would make it believe that it does not hold it.
 */
import { type Cancel, type Clock, every } from '../clock.ts'
import type { Engine, EngineSize } from '../engine/engine.ts'
import type { ShardTelemetry } from './telemetry.ts'

/** Of the quota; what is left is for releases and carried records, and for the time that a look is old. */
export const FULL_SHARE = 0.85
/** Below it there is room again: the two apart, or each release would open the door for one acquire. */
export const ROOM_SHARE = 0.8
/** At 15 MiB/s, which no disk of ours has done, less than the share that is left of etcd's default quota. */
const LOOK_MS = 2_000
const TEND_MS = 5_000

export type StorageOptions = {
  engine: Engine
  clock: Clock
  telemetry: ShardTelemetry
  /** Whether this server is the one that tends the store: the owner of the first shard. */
  isTender(): boolean
}

export class Storage {
  readonly #options: StorageOptions
  #isFull = false
  #cancels: Cancel[] = []
  #isOver = false
  /** Told once, not every few seconds. */
  readonly #failing = new Set<string>()

  constructor(options: StorageOptions) {
    this.#options = options
  }

  /** Whether what would grow the store is refused now. */
  get isFull(): boolean {
    return this.#isFull
  }

  /** Looks once, and then from time to time. */
  async start(): Promise<void> {
    const { clock, engine } = this.#options
    await this.#look()
    if (this.#isOver) return
    this.#cancels.push(every(clock, LOOK_MS, () => this.#look()))
    if (engine.tend) this.#cancels.push(every(clock, TEND_MS, () => this.#tend()))
  }

  stop(): void {
    this.#isOver = true
    for (const cancel of this.#cancels) cancel()
  }

  #look(): Promise<void> {
    return this.#attempt('the size of the store cannot be read', async () => {
      const size = await this.#options.engine.size()
      this.#judge(size)
    })
  }

  #judge(size: EngineSize): void {
    const { telemetry } = this.#options
    const share = size.quotaBytes === null ? 0 : size.usedBytes / size.quotaBytes
    const wasFull = this.#isFull
    this.#isFull = share >= (wasFull ? ROOM_SHARE : FULL_SHARE)
    telemetry.storage({ ...size, isFull: this.#isFull })
    if (this.#isFull === wasFull) return
    const percent = `${Math.round(share * 100)} % of its quota`
    const what = this.#isFull
      ? `the store is nearly full (${percent}): what would grow it is refused`
      : `the store has room again (${percent})`
    telemetry.alarm({ what, error: null })
  }

  #tend(): Promise<void> {
    const { engine, isTender } = this.#options
    return this.#attempt('the store cannot be tended', async () => {
      if (isTender()) await engine.tend?.()
    })
  }

  async #attempt(what: string, act: () => Promise<void>): Promise<void> {
    try {
      await act()
      this.#failing.delete(what)
    } catch (error) {
      if (!this.#failing.has(what) && !this.#isOver) this.#options.telemetry.alarm({ what, error })
      this.#failing.add(what)
    }
  }
}
