/** Several servers on one store in one process, each with a clock of its own, and links between them that are frames in memory. */
import { MemoryStore } from '../engine/memory/store.ts'
import { type Batch, decodeBatch } from '../shards/batch.ts'
import { decodeOwner } from '../shards/ownership.ts'
import { shardOf } from '../shards/router.ts'
import { silentTelemetry } from '../shards/telemetry.ts'
import type { TermsOf } from '../shards/terms.ts'
import { countingRandom, FakeClock, isAppend, keys, Server, strangers, TestEngine } from '../shards/testing.ts'
import { AcceptedLinks } from './accepted-links.ts'
import { type Here, openClusterShards } from './cluster-shards.ts'
import { Links } from './links.ts'
import type { Transport, TransportEvents } from './transport.ts'

const SHARDS = 8
const STEP_MS = 10

type Node = {
  clock: FakeClock
  engine: TestEngine
  here: Here | null
  links: AcceptedLinks | null
  isStopped: boolean
  /** Reaches the store, and no other server. */
  isApart: boolean
  isDead: boolean
  ends: Set<() => void>
}

export class Cluster {
  readonly store = new MemoryStore()
  readonly servers: Server[] = []
  readonly fatal: Error[][] = []
  /** What any of them has told a person. */
  readonly alarms: string[] = []
  /** On what terms each server believes that an instance is served. */
  terms: (server: number, instance: string) => ReturnType<TermsOf> = () => null
  readonly #nodes: Node[] = []
  #starts = 0

  static async start(count: number): Promise<Cluster> {
    const cluster = new Cluster()
    await Promise.all(Array.from({ length: count }, () => cluster.#begin())).catch(() => undefined)
    await cluster.pass(3_000)
    return cluster
  }

  /** Another server; resolves when it has joined. */
  join(): Promise<Server> {
    return this.#open()
  }

  /** Names of which each falls to another shard. */
  instances(count: number): string[] {
    const names: string[] = []
    for (let number = 0; names.length < Math.min(count, SHARDS); number++) {
      const name = `instance-${number}`
      if (names.every(other => shardOf(other, SHARDS) !== shardOf(name, SHARDS))) names.push(name)
    }
    return names
  }

  /** By shard: whom the store names. */
  owners(): string[] {
    const pairs = this.store.list({ prefix: 'test/shards/', limit: 10_000 }).pairs
    return pairs.filter(({ key }) => key.endsWith('/owner')).map(pair => decodeOwner(pair).server)
  }

  async pass(ms: number): Promise<void> {
    for (let passed = 0; passed < ms; passed += STEP_MS) {
      for (const { clock, isStopped, isDead } of this.#nodes) if (!isStopped && !isDead) await clock.pass(STEP_MS)
      await this.settle()
    }
  }

  async settle(): Promise<void> {
    for (let isBusy = true; isBusy; ) {
      isBusy = false
      for (const { clock, isStopped, isDead } of this.#nodes) {
        if (isStopped || isDead || !clock.isBusy) continue
        isBusy = true
        await clock.settle()
      }
      for (let task = 0; task < 20; task++) await null
    }
  }

  /** The process is gone, and its connections with it. */
  kill(index: number): void {
    const node = this.#nodes[index]!
    node.isDead = true
    node.engine.kill()
    for (const end of [...node.ends]) end()
  }

  /** Another start of the server of this place, on the same store; it takes up what it is given as time passes. */
  restart(index: number): void {
    const opening = this.#begin(index)
    opening.catch(() => undefined)
  }

  isRunning(index: number): boolean {
    const node = this.#nodes[index]
    return node?.here != null && !node.isDead && !node.isStopped && this.fatal[index]?.length === 0
  }

  /** All connections between the servers break; new ones may be made. */
  cut(): void {
    for (const { ends } of this.#nodes) for (const end of [...ends]) end()
  }

  /** Reaches the store and no other server, and is not reached; until it is said otherwise. */
  setApart(index: number, isApart: boolean): void {
    const node = this.#nodes[index]!
    node.isApart = isApart
    if (isApart) for (const end of [...node.ends]) end()
  }

  /** Its appends wait, until it is killed, or they are let go. */
  hold(index: number): void {
    this.#nodes[index]!.engine.hold(isAppend)
  }

  letGo(index: number): void {
    this.#nodes[index]!.engine.letGo()
  }

  /** What becomes of the commits of this server. */
  fate(index: number, fate: TestEngine['fate']): void {
    this.#nodes[index]!.engine.fate = fate
  }

  /** To this server the logs look as `change` makes their bytes look. */
  reads(index: number, change: (value: Uint8Array) => Uint8Array): void {
    const { engine } = this.#nodes[index]!
    engine.list = async options => {
      const listing = await engine.inner.list(options)
      if (!options.prefix.includes('/log/')) return listing
      return { ...listing, pairs: listing.pairs.map(pair => ({ ...pair, value: change(pair.value) })) }
    }
  }

  /** The log of the instance's shard, whole: nothing is cleaned. */
  batches(instance: string): Batch[] {
    const { pairs } = this.store.list({ prefix: keys.log(shardOf(instance, SHARDS)), limit: 10_000 })
    return pairs.map(pair => decodeBatch(pair.value))
  }

  /** The process gets no time; its connections stay. */
  stop(index: number): void {
    this.#nodes[index]!.isStopped = true
  }

  resume(index: number, pausedMs = 4_000): void {
    const node = this.#nodes[index]!
    node.isStopped = false
    node.clock.pause(pausedMs)
  }

  async #open(): Promise<Server> {
    const opening = this.#begin()
    let isDone = false
    const done = () => {
      isDone = true
    }
    opening.then(done, done)
    for (let step = 0; !isDone && step < 1_000; step++) {
      await this.pass(STEP_MS)
      await this.settle()
    }
    return opening
  }

  async #begin(index = this.#nodes.length): Promise<Server> {
    const node: Node = {
      clock: new FakeClock(),
      engine: new TestEngine(this.store),
      here: null,
      links: null,
      isStopped: false,
      isApart: false,
      isDead: false,
      ends: new Set(),
    }
    this.#nodes[index] = node
    const fatal: Error[] = []
    this.fatal[index] = fatal
    const shards = await openClusterShards({
      engine: node.engine,
      clock: node.clock,
      random: countingRandom(100 + this.#starts++),
      telemetry: { ...silentTelemetry, alarm: ({ what }) => void this.alarms.push(what) },
      termsOf: instance => this.terms(index, instance),
      peers: here => {
        node.here = here
        node.links = new AcceptedLinks({ ...here, clock: node.clock })
        return new Links(
          node.clock,
          ({ address }) =>
            events =>
              this.#connect(node, this.#nodes[Number(address)]!, events),
        )
      },
      config: {
        root: 'test',
        name: `server-${index}`,
        address: `${index}`,
        shards: SHARDS,
        processes: strangers,
        fatal: error => fatal.push(error),
        logBytesMin: 1e9,
      },
    })
    const server = new Server(shards, this)
    this.servers[index] = server
    return server
  }

  #connect(from: Node, to: Node, events: TransportEvents): Transport {
    let isOpen = !to.isDead && !from.isApart && !to.isApart
    const end = () => {
      if (!isOpen) return
      isOpen = false
      from.ends.delete(end)
      to.ends.delete(end)
      to.clock.afterPoll(() => accepted?.closed())
      from.clock.afterPoll(() => events.closed())
    }
    const back: Transport = {
      send: frame => from.clock.afterPoll(() => isOpen && events.frame(frame)),
      close: end,
    }
    const accepted = to.links?.accept(from.here?.server ?? '', back)
    from.clock.afterPoll(() => (isOpen ? events.opened() : events.closed()))
    from.ends.add(end)
    to.ends.add(end)
    return { send: frame => to.clock.afterPoll(() => isOpen && accepted?.heard(frame)), close: end }
  }
}
