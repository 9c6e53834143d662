/**
 * The shards of one server among several, behind the port that the doors use. It beats, looks at the others, takes the shards that are its to
 * take, gives up those that are another's, and routes what it is asked to whoever decides for it.
 */
import { pause } from '../clock.ts'
import { EngineFatal } from '../engine/engine.ts'
import { NewerFormat } from '../locks/encoding.ts'
import { planOf } from '../shards/assignment.ts'
import { Host } from '../shards/host.ts'
import { keysUnder } from '../shards/keys.ts'
import { OwnershipLost } from '../shards/log.ts'
import { Membership } from '../shards/membership.ts'
import { type Meta, openMeta } from '../shards/meta.ts'
import { Observer, type View } from '../shards/observer.ts'
import {
  decodeOwner,
  handOver,
  type OwnerRecord,
  type Ownership,
  type OwnershipOptions,
  takeFrom,
} from '../shards/ownership.ts'
import type { Shards } from '../shards/port.ts'
import { systemProcesses } from '../shards/processes.ts'
import { readKnown } from '../shards/reading.ts'
import { type OpenedShards, type OpeningOptions, serverId } from '../shards/shards.ts'
import { type ShardTelemetry, silentTelemetry } from '../shards/telemetry.ts'
import { withoutTerms } from '../shards/terms.ts'
import { localPeer } from './local.ts'
import type { Peer, Peers } from './peer.ts'
import { Router } from './router.ts'

/** What is under way when a server leaves gets this long to be answered by the next owners. */
const LEAVING_MS_MAX = 3_000
const LEAVING_LOOK_MS = 20
/** Smaller than that of an embedded log: whoever takes a shard over reads it while its clients wait. */
const CLUSTER_LOG_BYTES_MIN = 4 * 1024 * 1024
/** A shard that could not be opened is left alone for so long: a person has to look at it. */
const BROKEN_MS = 5_000

export type ClusterOptions = OpeningOptions & {
  /** Ways to the other servers; called once the cluster is known. */
  peers(here: Here): Peers
  /** Called when the store has taken a commit of this server, before anything is decided on it. What it throws keeps the server from opening. */
  checkStore?(cluster: Here['meta'] & { epochs(): readonly number[] }): Promise<void>
  /** A shard has come to a higher epoch, here or elsewhere. */
  epochsRaised?(): void
}

/** This server, for those who make and take links. */
export type Here = {
  server: string
  meta: { clusterId: string; clusterKey: string }
  local: Peer
  /** Another server says that records have changed. */
  told(): void
}

/** Joins the cluster, or creates it. Resolves when the others have been looked at and what is at once ours has been taken. */
export async function openClusterShards(options: ClusterOptions): Promise<OpenedShards> {
  const opened = new ClusterShards({ ...options, telemetry: options.telemetry ?? silentTelemetry })
  await opened.open()
  return opened
}

class ClusterShards implements OpenedShards {
  readonly server: string
  readonly #options: ClusterOptions & { telemetry: ShardTelemetry }
  readonly #membership: Membership
  #meta: Meta | null = null
  #host: Host | null = null
  #router: Router | null = null
  #observer: Observer | null = null
  #peers: Peers | null = null
  readonly #unownedSince = new Map<number, number>()
  readonly #knownSince = new Map<string, number>()
  readonly #brokenUntil = new Map<number, number>()
  /** The highest that has been seen, by the number of the shard. */
  #epochs: number[] = []
  /** In their logs is what only a newer version can read. */
  readonly #unreadable = new Set<number>()
  #isClosing = false
  #isFatal = false

  constructor(options: ClusterOptions & { telemetry: ShardTelemetry }) {
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
      unreachable: () => this.#peers?.unreachable() ?? [],
      unreadable: () => [...this.#unreadable],
      fatal: error => this.#fatal(error),
    })
  }

  get meta(): { clusterId: string; clusterKey: string; shards: number } {
    if (!this.#meta) throw new Error('the shards are not open')
    const { clusterId, clusterKey, shards } = this.#meta
    return { clusterId, clusterKey, shards }
  }

  async open(): Promise<void> {
    const { config, clock } = this.#options
    const keys = keysUnder(config.root)
    await this.#answering()
    this.#meta = await openMeta({ ...this.#options, keys, shards: config.shards })
    const { shards, clusterId } = this.#meta
    const host = this.#hostOf({ clusterId, shards })
    this.#host = host
    const local = localPeer({ host, shards, clock })
    const here = { server: this.server, meta: this.meta, local, told: () => void this.#observer?.look() }
    this.#peers = this.#options.peers(here)
    this.#router = new Router({
      clock,
      server: this.server,
      shards,
      local,
      peers: this.#peers,
      isServing: shard => host.serving(shard) !== null,
      stale: () => void this.#observer?.look(),
    })
    this.#observer = new Observer({
      ...this.#options,
      keys,
      shards,
      membership: this.#membership,
      seen: view => this.#seen(view),
      fatal: error => this.#fatal(error),
    })
    await this.#membership.start()
    try {
      await this.#readEpochs(shards)
      await this.#options.checkStore?.({ ...this.meta, epochs: () => this.#epochs })
    } catch (error) {
      await this.#membership.leave()
      throw error
    }
    await this.#observer.start()
  }

  async #readEpochs(shards: number): Promise<void> {
    const { engine, clock, config } = this.#options
    const keys = keysUnder(config.root)
    const read = (shard: number) => readKnown(clock, () => engine.read(keys.owner(shard)))
    const pairs = await Promise.all(Array.from({ length: shards }, (_, shard) => read(shard)))
    this.#epochs = pairs.map(pair => (pair ? decodeOwner(pair).epoch : 0))
  }

  submit: Shards['submit'] = (instance, command, asking) => this.#routed.submit(instance, command, asking)

  watch: Shards['watch'] = (instance, filter, sink) => this.#routed.watch(instance, filter, sink)

  history: Shards['history'] = (instance, options) => this.#routed.history(instance, options)

  listen: Shards['listen'] = (instance, session, push) => this.#routed.listen(instance, session, push)

  sealAnew(): void {
    this.#host?.sealAnew()
  }

  ownerUrl: Shards['ownerUrl'] = instance => this.#routed.ownerUrl(instance)

  tenants: Shards['tenants'] = () => [...(this.#host?.hosted.values() ?? [])].flatMap(({ shard }) => shard.tenants())

  health: Shards['health'] = () => {
    const reason = this.#isClosing
      ? 'the server is stopping'
      : this.#isFatal
        ? 'the server has lost its store'
        : !this.#membership.isWithinDeadline()
          ? 'the store does not take the beats of this server'
          : null
    const hosted = [...(this.#host?.hosted.values() ?? [])]
    return { isReady: reason === null, reason, shards: hosted.map(({ shard }) => shard.health()) }
  }

  async close(): Promise<void> {
    if (this.#isClosing) return
    this.#isClosing = true
    if (!this.#isFatal) {
      await this.#membership.announceLeaving()
      await this.#host?.closeAll()
      this.#peers?.tell()
      await this.#emptied()
    }
    this.#router?.close()
    this.#observer?.stop()
    await this.#membership.leave()
  }

  /** Returns when the store answers: that one member of it is there does not mean that there are enough. */
  async #answering(): Promise<void> {
    const { engine, clock, config, telemetry } = this.#options
    let isTold = false
    await readKnown(clock, async () => {
      try {
        await engine.read(keysUnder(config.root).meta)
      } catch (error) {
        if (!isTold) telemetry.alarm({ what: 'the store does not answer yet; waiting', error })
        isTold = true
        throw error
      }
    })
  }

  get #routed(): Router {
    if (!this.#router) throw new Error('the shards are not open')
    return this.#router
  }

  #hostOf({ clusterId, shards }: { clusterId: string; shards: number }): Host {
    const { config } = this.#options
    const keys = keysUnder(config.root)
    const membership = this.#membership
    return new Host({
      ...this.#options,
      keys,
      membership,
      ownership: { ...this.#options, keys, membership, processes: config.processes ?? systemProcesses },
      clusterId,
      shards,
      termsOf: this.#options.termsOf ?? withoutTerms,
      // It is somebody else's now, or will be ours again by the plan.
      retake: async () => null,
      changed: () => this.#changed(),
      fatal: error => this.#fatal(error),
      logBytesMin: config.logBytesMin ?? CLUSTER_LOG_BYTES_MIN,
    })
  }

  #changed(): void {
    this.#router?.changed()
    this.#peers?.tell()
    void this.#observer?.look()
  }

  #seen(view: View): void {
    const nowMs = this.#options.clock.hrtimeMs()
    keepTimes(this.#knownSince, view.members.keys(), nowMs)
    const unowned = view.owners.flatMap((owner, shard) => (owner && view.members.has(owner.server) ? [] : [shard]))
    keepTimes(this.#unownedSince, unowned, nowMs)
    this.#router?.update(view)
    this.#noteEpochs(view)
    if (!this.#isClosing) this.#peers?.reach([...view.members.values()].filter(({ server }) => server !== this.server))
    if (!this.#isClosing && !this.#isFatal) this.#follow(view, nowMs)
  }

  #noteEpochs({ owners }: View): void {
    const raised = this.#epochs.map((epoch, shard) => Math.max(epoch, owners[shard]?.epoch ?? 0))
    const isRaised = raised.some((epoch, shard) => epoch !== this.#epochs[shard])
    this.#epochs = raised
    if (isRaised) this.#options.epochsRaised?.()
  }

  #follow(view: View, nowMs: number): void {
    const host = this.#host
    if (!host) return
    const plan = planOf({
      view,
      self: this.server,
      hosted: new Set(host.hosted.keys()),
      unownedMs: shard => nowMs - (this.#unownedSince.get(shard) ?? nowMs),
      knownMs: server => nowMs - (this.#knownSince.get(server) ?? nowMs),
    })
    for (const shard of plan.take) void this.#take(shard, view.owners[shard] ?? null)
    // One that is still being opened cannot be handed over yet: it would be left named as ours and decided for by nobody.
    for (const shard of plan.give) if (host.serving(shard)) void this.#give(shard)
  }

  async #take(shard: number, owner: OwnerRecord | null): Promise<void> {
    const { clock, config, telemetry } = this.#options
    if (clock.hrtimeMs() < (this.#brokenUntil.get(shard) ?? 0)) return
    const membership = this.#membership
    const ownership = { ...this.#options, keys: keysUnder(config.root), membership, processes: systemProcesses }
    const taken: Ownership[] = []
    try {
      await this.#host?.open(shard, async () => {
        const had = await takeFrom(ownership, shard, owner)
        if (had) taken.push(had)
        return had
      })
    } catch (error) {
      if (error instanceof EngineFatal) return this.#fatal(error)
      // Overtaken while it was reading: there is nothing for a person to do.
      if (error instanceof OwnershipLost) return
      this.#brokenUntil.set(shard, clock.hrtimeMs() + BROKEN_MS)
      telemetry.alarm({ what: `shard ${shard} cannot be opened`, error })
      if (error instanceof NewerFormat) await this.#leaveToNewer(shard, ownership, taken)
    }
  }

  /** Another server may be able to read it, and could not have it while it is in our name. */
  async #leaveToNewer(shard: number, options: OwnershipOptions, taken: Ownership[]): Promise<void> {
    this.#unreadable.add(shard)
    try {
      // First, else who takes it would give it back.
      await this.#membership.announce()
      for (const ownership of taken) await handOver(options, shard, ownership)
    } catch (error) {
      this.#fatal(error instanceof Error ? error : new Error(String(error)))
    }
  }

  async #give(shard: number): Promise<void> {
    try {
      await this.#host?.close(shard)
    } catch (error) {
      this.#fatal(error instanceof Error ? error : new Error(String(error)))
    }
  }

  /** What is under way has been answered by the new owners, or has had its time. */
  async #emptied(): Promise<void> {
    const { clock } = this.#options
    const untilMs = clock.hrtimeMs() + LEAVING_MS_MAX
    while (this.#routed.underway > 0 && clock.hrtimeMs() < untilMs) await pause(clock, LEAVING_LOOK_MS)
  }

  #fatal(error: Error): void {
    if (this.#isFatal) return
    this.#isFatal = true
    this.#membership.abandon()
    this.#observer?.stop()
    this.#options.config.fatal(error)
  }
}

/** When each of these was first seen without a break. */
function keepTimes<Key>(times: Map<Key, number>, keys: Iterable<Key>, nowMs: number): void {
  const present = new Set(keys)
  for (const key of times.keys()) if (!present.has(key)) times.delete(key)
  for (const key of present) if (!times.has(key)) times.set(key, nowMs)
}
