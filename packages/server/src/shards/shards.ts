/** The shards of this server behind the port that the doors use. */
import { HoldfastError } from '@holdfast/protocol/errors'
import type { Clock } from '../clock.ts'
import type { Engine } from '../engine/engine.ts'
import { type Random, randomHex } from '../random.ts'
import { Feed } from './feed.ts'
import { keysUnder } from './keys.ts'
import { Membership } from './membership.ts'
import { type Meta, openMeta } from './meta.ts'
import type { SessionPush, Shards } from './port.ts'
import { type Processes, systemProcesses } from './processes.ts'
import { shardOf } from './router.ts'
import { Shard } from './shard.ts'
import { TICK_MS } from './shard-clock.ts'
import { Storage } from './storage.ts'
import { type ShardTelemetry, silentTelemetry } from './telemetry.ts'

export { DataDirectoryInUse } from './ownership.ts'

export type ShardsConfig = {
  /** What all keys of this cluster begin with. */
  root: string
  /** What people call this server; each start of it gets an id of its own. */
  name: string
  /** Where it listens, for the others and for those who find the directory in use. */
  address: string
  /** Of a new cluster; an old one keeps its number. */
  shards: number
  /** This process must end, and not grant or answer anything more: the store or the ownership is lost. Called at most once. */
  fatal(error: Error): void
  /** For tests: who else is alive on this machine. */
  processes?: Processes
  /** For tests: logs are left alone below this many bytes. */
  logBytesMin?: number
}

export type OpenedShards = Shards & { meta: { clusterId: string; clusterKey: string }; server: string }

/** A tick that comes later than this is worth telling: a stalled loop, or a paused process. */
const STALL_MS = 250

/**
 * Opens the store, takes over all its shards and reads their logs. Throws `DataDirectoryInUse` when another process that lives has it. After
 * the process that had it was killed, this takes no longer than reading; after the machine was, up to two seconds more.
 */
export async function openShards(options: {
  engine: Engine
  clock: Clock
  random: Random
  config: ShardsConfig
  telemetry?: ShardTelemetry
}): Promise<OpenedShards> {
  const opened = new ServerShards({ ...options, telemetry: options.telemetry ?? silentTelemetry })
  await opened.open()
  return opened
}

type Options = { engine: Engine; clock: Clock; random: Random; config: ShardsConfig; telemetry: ShardTelemetry }
type Listener = (push: SessionPush) => void

class ServerShards implements OpenedShards {
  readonly server: string
  readonly #options: Options
  readonly #membership: Membership
  readonly #storage: Storage
  readonly #listeners = new Map<string, Map<string, Listener>>()
  #shards: { shard: Shard; feed: Feed }[] = []
  #meta: Meta | null = null
  #cancelTick: (() => void) | null = null
  #isClosed = false
  #isFatal = false

  constructor(options: Options) {
    this.#options = options
    const { engine, clock, random, config, telemetry } = options
    this.server = `${config.name}.${randomHex(random, 8)}`
    this.#membership = new Membership({
      engine,
      clock,
      random,
      telemetry,
      keys: keysUnder(config.root),
      server: this.server,
      address: config.address,
      process: (config.processes ?? systemProcesses).own(),
      isProgressing: () => this.#shards.every(({ shard }) => shard.isProgressing()),
      fatal: error => this.#fatal(error),
    })
    const isTender = () => this.#shards.some(({ shard }) => shard.number === 0 && shard.isServing)
    this.#storage = new Storage({ engine, clock, telemetry, isTender })
  }

  get meta(): { clusterId: string; clusterKey: string } {
    if (!this.#meta) throw new Error('the shards are not open')
    const { clusterId, clusterKey } = this.#meta
    return { clusterId, clusterKey }
  }

  async open(): Promise<void> {
    const { engine, clock, random, config, telemetry } = this.#options
    const keys = keysUnder(config.root)
    this.#meta = await openMeta({ engine, clock, random, keys, telemetry, shards: config.shards })
    await this.#membership.start()
    await this.#storage.start()
    try {
      for (let number = 0; number < this.#meta.shards; number++) await this.#openShard(number)
    } catch (error) {
      this.#storage.stop()
      await this.#membership.leave()
      throw error
    }
    this.#armTick()
  }

  submit: Shards['submit'] = (instance, command, asking) => this.#of(instance).shard.submit(instance, command, asking)

  watch: Shards['watch'] = (instance, filter, sink) => {
    if (this.#isClosed) throw new HoldfastError('unavailable', 'The server is stopping.')
    return this.#of(instance).feed.watch(instance, filter, sink)
  }

  history: Shards['history'] = (instance, options) => this.#of(instance).feed.history(instance, options)

  listen: Shards['listen'] = (instance, session, push) => {
    const listeners = this.#listeners.get(instance) ?? new Map<string, Listener>()
    this.#listeners.set(instance, listeners.set(session, push))
    return {
      stop: () => {
        // Another connection of the session may have taken its place.
        if (listeners.get(session) !== push) return
        listeners.delete(session)
        if (listeners.size === 0 && this.#listeners.get(instance) === listeners) this.#listeners.delete(instance)
      },
    }
  }

  health: Shards['health'] = () => {
    const shards = this.#shards.map(({ shard }) => shard.health())
    const reason = this.#isClosed
      ? 'the server is stopping'
      : this.#isFatal
        ? 'the server has lost its store'
        : !this.#shards.every(({ shard }) => shard.isServing)
          ? 'a shard is being recovered'
          : !this.#membership.isWithinDeadline()
            ? 'the store does not take the beats of this server'
            : null
    return { isReady: reason === null, reason, shards }
  }

  async close(): Promise<void> {
    if (this.#isClosed) return
    this.#isClosed = true
    this.#cancelTick?.()
    this.#storage.stop()
    for (const { shard } of this.#shards) await shard.close()
    // Last: while the record stands, nobody takes over from us.
    await this.#membership.leave()
  }

  async #openShard(number: number): Promise<void> {
    const { engine, clock, random, config, telemetry } = this.#options
    const keys = keysUnder(config.root)
    const membership = this.#membership
    const processes = config.processes ?? systemProcesses
    const feed = new Feed(this.meta.clusterId)
    const shard = new Shard({
      engine,
      clock,
      random,
      keys,
      telemetry,
      membership,
      ownership: { engine, clock, keys, telemetry, membership, processes },
      shard: number,
      feed,
      storage: this.#storage,
      push: ({ instance, session, push }) => this.#listeners.get(instance)?.get(session)?.(push),
      fatal: error => this.#fatal(error),
      ...(config.logBytesMin === undefined ? {} : { logBytesMin: config.logBytesMin }),
    })
    await shard.open()
    this.#shards.push({ shard, feed })
  }

  #of(instance: string): { shard: Shard; feed: Feed } {
    return this.#shards[shardOf(instance, this.#shards.length)]!
  }

  #armTick(): void {
    this.#cancelTick = this.#options.clock.after(TICK_MS, () => {
      if (this.#isClosed) return
      this.#armTick()
      let lateMs = 0
      for (const { shard } of this.#shards) lateMs = Math.max(lateMs, shard.tick())
      if (lateMs > STALL_MS) this.#options.telemetry.loopStalled({ ms: lateMs })
    })
  }

  #fatal(error: Error): void {
    if (this.#isFatal) return
    this.#isFatal = true
    this.#membership.abandon()
    this.#options.config.fatal(error)
  }
}
