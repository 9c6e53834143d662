/** The shards that this server decides for: opened, ticked, listened to, and closed. Which ones these are is for others to say. */
import type { Clock } from '../clock.ts'
import type { Engine } from '../engine/engine.ts'
import type { Random } from '../random.ts'
import type { Gate, OpenArchive } from './archive.ts'
import { Feed } from './feed.ts'
import type { Keys } from './keys.ts'
import type { Membership } from './membership.ts'
import type { Ownership, OwnershipOptions } from './ownership.ts'
import type { Logged, SessionPush } from './port.ts'
import { Shard } from './shard.ts'
import { TICK_MS } from './shard-clock.ts'
import { Storage } from './storage.ts'
import type { ShardTelemetry } from './telemetry.ts'
import { type TermsOf, watchRefusal } from './terms.ts'

/** A tick that comes later than this is worth telling: a stalled loop, or a paused process. */
const STALL_MS = 250

export type Hosted = { shard: Shard; feed: Feed }

export type HostOptions = {
  engine: Engine
  clock: Clock
  random: Random
  keys: Keys
  telemetry: ShardTelemetry
  membership: Membership
  ownership: OwnershipOptions
  clusterId: string
  /** Of the cluster. */
  shards: number
  termsOf: TermsOf
  /** What becomes of a shard that was lost: taken again, or somebody else's. */
  retake(shard: number): Promise<Ownership | null>
  /** A shard has come to be served here, or no longer is. */
  changed(): void
  fatal(error: Error): void
  logBytesMin?: number
  archive?: OpenArchive
  gate?: Gate
  /** Hears of each batch that becomes durable, in order; must not throw. */
  logged?(batch: Logged): void
  inTurn?(act: () => void): void
}

type Listener = (push: SessionPush) => void

export class Host {
  readonly #options: HostOptions
  readonly #hosted = new Map<number, Hosted>()
  readonly #listeners = new Map<string, Map<string, Set<Listener>>>()
  readonly #storage: Storage
  #cancelTick: (() => void) | null = null

  constructor(options: HostOptions) {
    this.#options = options
    this.#storage = new Storage({ ...options, isTender: () => this.serving(0) !== null })
    void this.#storage.start()
    this.#armTick()
  }

  /** Opened, being opened, or being closed. */
  get hosted(): ReadonlyMap<number, Hosted> {
    return this.#hosted
  }

  /** The shard, if it answers. */
  serving(number: number): Hosted | null {
    const hosted = this.#hosted.get(number)
    return hosted?.shard.isServing ? hosted : null
  }

  get isProgressing(): boolean {
    for (const { shard } of this.#hosted.values()) if (!shard.isProgressing()) return false
    return true
  }

  /** Reads the log of a shard that `take` takes over. Returns whether it was had. */
  async open(number: number, take: () => Promise<Ownership | null>): Promise<boolean> {
    const { ownership, retake, changed, telemetry, clusterId, termsOf } = this.#options
    const listeners = this.#listeners
    const feed = new Feed(clusterId, { refusal: (instance, open) => watchRefusal(termsOf, instance, open) })
    const forget = () => {
      this.#hosted.delete(number)
      telemetry.owned({ shard: number, isOwned: false })
      changed()
    }
    const shard = new Shard({
      ...this.#options,
      ownership,
      shard: number,
      feed,
      storage: this.#storage,
      retake: () => retake(number),
      lost: forget,
      push({ instance, session, push }) {
        for (const listener of listeners.get(instance)?.get(session) ?? []) listener(push)
      },
    })
    this.#hosted.set(number, { shard, feed })
    let taken: Ownership | null = null
    try {
      taken = await take()
      if (taken) await shard.open(taken)
    } finally {
      if (!taken || !shard.isServing) this.#hosted.delete(number)
    }
    if (!taken) return false
    telemetry.owned({ shard: number, isOwned: true })
    changed()
    return true
  }

  /** Gives the shard up in good order. */
  async close(number: number): Promise<void> {
    const hosted = this.#hosted.get(number)
    if (!hosted) return
    await hosted.shard.close()
    this.#hosted.delete(number)
    this.#options.telemetry.owned({ shard: number, isOwned: false })
    this.#options.changed()
  }

  /** Whether nobody can have replaced this server unnoticed. */
  get isSureOfItself(): boolean {
    return this.#options.membership.isWithinDeadline()
  }

  /** The store has another key. */
  sealAnew(): void {
    for (const { shard } of this.#hosted.values()) shard.sealAnew()
  }

  async closeAll(): Promise<void> {
    this.#cancelTick?.()
    this.#storage.stop()
    await Promise.all([...this.#hosted.keys()].map(number => this.close(number)))
  }

  /** Pushes for one session, to all of its connections: which of them is still there is not known here. */
  listen(instance: string, session: string, push: Listener): { stop(): void } {
    const ofInstance = this.#listeners.get(instance) ?? new Map<string, Set<Listener>>()
    const listeners = ofInstance.get(session) ?? new Set<Listener>()
    // One object for each call: the same function may listen twice.
    const listener: Listener = said => push(said)
    this.#listeners.set(instance, ofInstance.set(session, listeners.add(listener)))
    return {
      stop: () => {
        listeners.delete(listener)
        if (listeners.size > 0 || ofInstance.get(session) !== listeners) return
        ofInstance.delete(session)
        if (ofInstance.size === 0 && this.#listeners.get(instance) === ofInstance) this.#listeners.delete(instance)
      },
    }
  }

  #armTick(): void {
    this.#cancelTick = this.#options.clock.after(TICK_MS, () => {
      this.#armTick()
      let lateMs = 0
      for (const { shard } of this.#hosted.values()) lateMs = Math.max(lateMs, shard.tick())
      if (lateMs > STALL_MS) this.#options.telemetry.loopStalled({ ms: lateMs })
    })
  }
}
