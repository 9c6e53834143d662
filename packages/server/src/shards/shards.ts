/** The shards of a server that has its store to itself (embedded), behind the port that the doors use: all of them, all the time. */
import { HoldfastError } from '@holdfast/protocol/errors'
import type { Clock } from '../clock.ts'
import type { Engine } from '../engine/engine.ts'
import { type Random, randomHex } from '../random.ts'
import type { Gate, OpenArchive } from './archive.ts'
import { NotTaken } from './callers.ts'
import { Host, type Hosted } from './host.ts'
import { keysUnder } from './keys.ts'
import { Membership } from './membership.ts'
import { type Meta, openMeta } from './meta.ts'
import { takeOver } from './ownership.ts'
import type { Logged, Shards } from './port.ts'
import { type Processes, systemProcesses } from './processes.ts'
import { shardOf } from './router.ts'
import { type ShardTelemetry, silentTelemetry } from './telemetry.ts'
import { type TermsOf, withoutTerms } from './terms.ts'

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

export type OpenedShards = Shards & {
  meta: { clusterId: string; clusterKey: string; shards: number }
  server: string
  /** The store has another key: what only this server may write is written once more, soon. */
  sealAnew(): void
}

export type OpeningOptions = {
  engine: Engine
  clock: Clock
  random: Random
  config: ShardsConfig
  telemetry?: ShardTelemetry
  /** Without it nobody is limited. */
  termsOf?: TermsOf
  /** Where batches go before they are deleted; without it, nowhere. */
  archive?: OpenArchive
  /** Why a command is refused whatever it asks; null: it is not. */
  gate?: Gate
  /** Hears of each batch that becomes durable, in order; must not throw. */
  logged?(batch: Logged): void
  /** Does it when all that clients have sent before has been handled. Without it that is whenever the sockets have been read. */
  inTurn?(act: () => void): void
}

/**
 * Opens the store, takes over all its shards and reads their logs. Throws `DataDirectoryInUse` when another process that lives has it. After
 * the process that had it was killed, this takes no longer than reading; after the machine was, up to two seconds more.
 */
export async function openShards(options: OpeningOptions): Promise<OpenedShards> {
  const opened = new ServerShards({ ...options, telemetry: options.telemetry ?? silentTelemetry })
  await opened.open()
  return opened
}

type Options = OpeningOptions & { telemetry: ShardTelemetry }

class ServerShards implements OpenedShards {
  readonly server: string
  readonly #options: Options
  readonly #membership: Membership
  #host: Host | null = null
  #meta: Meta | null = null
  #isClosed = false
  #isFatal = false

  constructor(options: Options) {
    this.#options = options
    const { config, random } = options
    this.server = serverId(config.name, random)
    this.#membership = new Membership({
      ...options,
      keys: keysUnder(config.root),
      server: this.server,
      address: config.address,
      process: (config.processes ?? systemProcesses).own(),
      isProgressing: () => this.#host?.isProgressing ?? true,
      fatal: error => this.#fatal(error),
    })
  }

  get meta(): { clusterId: string; clusterKey: string; shards: number } {
    if (!this.#meta) throw new Error('the shards are not open')
    const { clusterId, clusterKey, shards } = this.#meta
    return { clusterId, clusterKey, shards }
  }

  async open(): Promise<void> {
    const { config } = this.#options
    const membership = this.#membership
    const keys = keysUnder(config.root)
    this.#meta = await openMeta({ ...this.#options, keys, shards: config.shards })
    await membership.start()
    const ownership = { ...this.#options, keys, membership, processes: config.processes ?? systemProcesses }
    this.#host = new Host({
      ...this.#options,
      keys,
      membership,
      ownership,
      clusterId: this.#meta.clusterId,
      shards: this.#meta.shards,
      termsOf: this.#options.termsOf ?? withoutTerms,
      retake: shard => takeOver(ownership, shard),
      changed: () => undefined,
      fatal: error => this.#fatal(error),
      ...(config.logBytesMin === undefined ? {} : { logBytesMin: config.logBytesMin }),
    })
    try {
      for (let shard = 0; shard < this.#meta.shards; shard++)
        await this.#host.open(shard, () => takeOver(ownership, shard))
    } catch (error) {
      await this.#host.closeAll()
      await membership.leave()
      throw error
    }
  }

  submit: Shards['submit'] = (instance, command, asking) => {
    const hosted = this.#of(instance)
    if (hosted) return hosted.shard.submit(instance, command, asking)
    this.#options.clock.afterPoll(() => asking.fail(new NotTaken()))
    return { detach: () => undefined }
  }

  watch: Shards['watch'] = (instance, filter, sink) => {
    const hosted = this.#of(instance)
    if (!hosted || this.#isClosed) throw new HoldfastError('unavailable', 'The server is stopping.')
    return hosted.feed.watch(instance, filter, sink)
  }

  history: Shards['history'] = async (instance, options) => {
    const hosted = this.#of(instance)
    if (!hosted) throw new NotTaken()
    return hosted.feed.history(instance, options)
  }

  listen: Shards['listen'] = (instance, session, push) =>
    this.#host?.listen(instance, session, push) ?? { stop: () => undefined }

  sealAnew(): void {
    this.#host?.sealAnew()
  }

  ownerUrl: Shards['ownerUrl'] = () => null

  tenants: Shards['tenants'] = () => [...(this.#host?.hosted.values() ?? [])].flatMap(({ shard }) => shard.tenants())

  health: Shards['health'] = () => {
    const hosted = [...(this.#host?.hosted.values() ?? [])]
    const reason = this.#isClosed
      ? 'the server is stopping'
      : this.#isFatal
        ? 'the server has lost its store'
        : !hosted.every(({ shard }) => shard.isServing)
          ? 'a shard is being recovered'
          : !this.#membership.isWithinDeadline()
            ? 'the store does not take the beats of this server'
            : null
    return { isReady: reason === null, reason, shards: hosted.map(({ shard }) => shard.health()) }
  }

  async close(): Promise<void> {
    if (this.#isClosed) return
    this.#isClosed = true
    await this.#host?.closeAll()
    // Last: while the record stands, nobody takes over from us.
    await this.#membership.leave()
  }

  #of(instance: string): Hosted | undefined {
    return this.#host?.hosted.get(shardOf(instance, this.#meta?.shards ?? 1))
  }

  #fatal(error: Error): void {
    if (this.#isFatal) return
    this.#isFatal = true
    this.#membership.abandon()
    this.#options.config.fatal(error)
  }
}

/** One start of one process: no two have the same (SAFETY P5). */
export function serverId(name: string, random: Random): string {
  return `${name}.${randomHex(random, 8)}`
}
