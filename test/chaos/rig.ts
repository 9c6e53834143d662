/**
 * All that runs in one scenario: etcd members, servers over them, client processes with the real library, what they protect, the recorder that
 * sees every commit, and the links between them. It starts them, strikes them on behalf of a scenario, lets them come to rest, and stops what is left.
 */
import { spawnSync } from 'node:child_process'
import { mkdirSync, writeFileSync } from 'node:fs'
import { setTimeout as sleep } from 'node:timers/promises'
import { Violation } from '../checker/judge.ts'
import { LogWitness } from '../checker/log.ts'
import { type EtcdCluster, type EtcdOptions, startEtcd } from '../harness/etcd.ts'
import { freePort } from '../harness/process.ts'
import { type Server, startServer } from '../harness/server.ts'
import { ownerOf } from '../harness/witness/owner.ts'
import { type Chance, chanceOf } from '../simulator/chance.ts'
import { type ClientsOf, clientConfig, INSTANCE, TTLS_MS } from './client/config.ts'
import type { ClientConfig } from './client/process.ts'
import { ClientHandle, Resource } from './clients.ts'
import { type Ended, hasEndedItself, saidLast, supervised } from './ended.ts'
import { type Cleaning, type Evidence, type Judgement, judge, type Recorded } from './judging.ts'
import { type Carry, Links } from './links.ts'
import { commitsOfLmdb } from './record/lmdb-log.ts'
import { type Commit, nowMs, Recorder } from './record/recorder.ts'
import { Resting } from './resting.ts'
import { tapped, toldIn } from './server/told.ts'

export type RigOptions = {
  folder: string
  seed: number
  seconds: number
  /** Bounds on time are so many times what they are. */
  slack: number
  /** On LMDB there is one server. */
  engine: 'etcd' | 'lmdb'
  members: number
  etcd: Omit<EtcdOptions, 'members'>
  servers: number
  serverFlags: string[]
  /** What the links to the store know of what they carry. */
  carry: Carry
  processes: number
  client: Partial<ClientConfig>
  /** Of the process of this place, on either side. `folder`: of the run. */
  clientEnv(index: number, folder: string): NodeJS.ProcessEnv
  serverEnv(place: number, folder: string): NodeJS.ProcessEnv
}

export const defaults: Omit<RigOptions, 'folder' | 'seed' | 'seconds'> = {
  slack: 1,
  engine: 'etcd',
  members: 3,
  etcd: {},
  servers: 3,
  serverFlags: [],
  carry: 'bytes',
  processes: 4,
  client: {},
  clientEnv: () => ({}),
  serverEnv: () => ({}),
}

export type Fault = { kind: string; atMs: number; healedMs: number | null; isAnsweredDuring: boolean }

export const ROOT = 'holdfast'
/** Of the run at its end: only healing. */
const HEAL_SHARE = 0.15
const HEAL_MS_MIN = 4_000
const REST_MS_MAX = 30_000
/** The longest session, and its new owner. */
const EMPTY_MS_MAX = 40_000
/** All clients have closed their sessions; those that nobody renews are short. */
const LMDB_EMPTY_MS = 6_000
const LOOK_MS = 50
/** By the workload. */
const LOCKS_CONFIGURED_MAX = 10

export class Rig {
  readonly options: RigOptions
  readonly chance: Chance
  readonly links: Links
  readonly servers: Server[] = []
  readonly clients: ClientHandle[] = []
  readonly faults: Fault[] = []
  /** Whatever a scenario has measured besides. */
  readonly measured: Record<string, number> = {}
  /** Disks that were mounted for it. */
  readonly mounted: string[] = []
  readonly recorded: Recorded[] = []
  readonly cleanings: Cleaning[] = []
  /** Servers that have ended by themselves, at their start or later. */
  readonly ended: Ended[] = []
  readonly violations: Judgement['violations'] = []
  readonly log: LogWitness
  /** All that was judged, once it has been. */
  evidence: Evidence | null = null
  etcd!: EtcdCluster // set before anything else can be done
  recorder!: Recorder
  resource!: Resource
  #endsMs = 0
  #isStopped = false
  #isLogJudged = true
  #passedWhen = { atMs: 0, byMs: 0 }
  #keptFrom: ReadonlyMap<number, number> = new Map()
  readonly #resting: Resting
  readonly #ports: number[] = []
  readonly #looked = new Set<Server>()

  constructor(options: RigOptions) {
    this.options = options
    this.chance = chanceOf(options.seed, 'nemesis')
    this.links = new Links(options.carry)
    const { coldLocks = 0, coldValueChars = 0, ttlsMs = TTLS_MS } = options.client
    this.#resting = new Resting({
      // What was written to them stays.
      locksMax: LOCKS_CONFIGURED_MAX + (coldValueChars > 0 ? coldLocks : 0),
      ttlMsMax: Math.max(...ttlsMs),
    })
    this.log = new LogWitness(ROOT, written => {
      // Each entry is passed on by itself: its batch need not be kept with all that is in it.
      const batch = { ...written.batch, carried: [], entries: [] }
      this.recorded.push({ written: { ...written, batch }, ...this.#passedWhen })
    })
  }

  async start(): Promise<void> {
    const { options } = this
    mkdirSync(options.folder, { recursive: true })
    if (options.engine === 'etcd') {
      this.etcd = await startEtcd({ members: options.members, ...options.etcd })
      this.recorder = new Recorder(this.etcd.urls, commit => this.#passed(commit))
      this.recorder.start()
    }
    this.resource = new Resource(options.folder)
    for (let place = 0; place < options.servers; place++) {
      this.#ports.push(await freePort())
      const members = options.engine === 'etcd' ? this.etcd.members : []
      await this.links.add(
        this.#ports[place]!,
        members.map(({ clientPort }) => clientPort),
      )
    }
    await Promise.all(this.#ports.map((_, place) => this.startServer(place)))
    for (const [place, server] of this.servers.entries()) await this.#resting.began(server, this.toldAt(place))
    const resourcePort = await this.resource.port()
    const starting = Array.from({ length: options.processes }, (_, index) => this.startClient(index, { resourcePort }))
    await Promise.all(starting)
    this.#endsMs = performance.now() + options.seconds * 1_000
  }

  /** A server, or the same once more after it has ended, on its data. */
  async startServer(place: number, env: NodeJS.ProcessEnv = {}): Promise<Server> {
    const { folder, serverFlags, serverEnv, engine } = this.options
    const name = `server-${place}`
    const store = engine === 'etcd' ? ['--etcd', this.links.storeUrls(place).join(',')] : []
    const own = ['--engine', engine, ...store, '--server-name', name]
    this.#ends(place)
    const start = () =>
      startServer({
        data: this.dataOf(place),
        port: this.#ports[place]!,
        flags: [...own, '--advertise', this.links.url(place), ...serverFlags],
        env: tapped({ ...serverEnv(place, folder), ...env }, this.toldAt(place)),
      })
    const server = await supervised(start, error =>
      this.ended.push({ place, why: saidLast(String(error)), isStart: true }),
    )
    this.servers[place] = server
    return server
  }

  /** Where the server of this place writes down what it promises. */
  toldAt(place: number): string {
    return `${this.options.folder}/server-${place}.told.jsonl`
  }

  /** Of the server of this place. */
  dataOf(place: number): string {
    return `${this.options.folder}/server-${place}`
  }

  async startClient(index: number, { resourcePort = 0 } = {}): Promise<ClientHandle> {
    const { options } = this
    const to: ClientsOf = {
      folder: options.folder,
      seed: options.seed,
      urls: this.servers.map((_, place) => this.links.url(place)),
      resourcePort: resourcePort || Number(await this.resource.port()),
    }
    const config = clientConfig(to, index, options.client)
    const client = new ClientHandle(config, options.folder, options.clientEnv(index, options.folder))
    this.clients.push(client)
    await client.line(line => line === 'ready')
    return client
  }

  get isOver(): boolean {
    return performance.now() > this.#endsMs - this.options.seconds * 1_000 * HEAL_SHARE || this.#isStopped
  }

  /** Whoever runs servers starts those again that have ended by themselves. */
  async revive(): Promise<void> {
    if (this.#isStopped) return
    for (const [place, { child }] of this.servers.entries()) {
      if (child.exitCode === null && child.signalCode === null) continue
      this.measured.serversStartedAgain = (this.measured.serversStartedAgain ?? 0) + 1
      await this.startServer(place)
    }
  }

  /** Keeps what the server of this place has said, if it has ended by itself. */
  #ends(place: number): void {
    const server = this.servers[place]
    if (!server || this.#looked.has(server) || !hasEndedItself(server)) return
    this.#looked.add(server)
    this.ended.push({ place, why: saidLast(server.output()), isStart: false })
  }

  /** Ends early when the run does. */
  async pause(lowMs: number, highMs = lowMs): Promise<void> {
    const untilMs = performance.now() + this.chance.between(lowMs, highMs)
    while (performance.now() < untilMs && !this.isOver) await sleep(LOOK_MS)
    await this.revive()
  }

  /**
   * Does something bad, and undoes it. Counted, and timed until the next grant: from now on, or from its end if nothing can be granted before.
   */
  async fault(
    kind: string,
    act: () => Promise<void>,
    { isAnsweredDuring = true }: { isAnsweredDuring?: boolean } = {},
  ): Promise<void> {
    const fault: Fault = { kind, atMs: nowMs(), healedMs: null, isAnsweredDuring }
    this.faults.push(fault)
    await act()
    fault.healedMs = nowMs()
  }

  /** The place of the server that decides for all locks of the run. */
  owner(): Promise<number> {
    return ownerOf({ all: this.servers })
  }

  /** Waits until something is granted, as the record says. */
  async granted(msMax = 20_000): Promise<void> {
    const before = this.recorded.length
    const isGrant = ({ written: { entry } }: Recorded) => entry.record === 'grant' && entry.type === 'granted'
    const untilMs = performance.now() + msMax
    while (!this.recorded.slice(before).some(isGrant)) {
      if (this.#isStopped) throw new Error('it was stopped')
      if (performance.now() > untilMs) throw new Violation(`I8: nothing was granted for ${msMax} ms`)
      await sleep(LOOK_MS)
    }
  }

  /** Everybody ends what is under way and leaves; then nothing is held, and the members agree. Then all of it is judged. */
  async rest(): Promise<Judgement> {
    this.links.heal()
    const worksMs = this.#worksUntilMs()
    while (performance.now() < worksMs && !this.#isStopped) await sleep(LOOK_MS)
    if (this.#isStopped) throw new Error('it was stopped')
    const present = this.clients.filter(({ isRunning }) => isRunning)
    for (const client of present) client.tell('finish')
    const untilMs = performance.now() + REST_MS_MAX
    while (!present.every(client => client.has('finished')) && !this.#isStopped && performance.now() < untilMs)
      await sleep(LOOK_MS)
    // The watchers are in the first, and have something to see until the others have gone.
    for (const client of present.toReversed()) {
      client.tell('leave')
      await Promise.race([client.exited, sleep(REST_MS_MAX, undefined, { ref: false })])
      if (client.isRunning) this.#found(new Violation(`I8: client process ${client.config.index} does not end`))
    }
    for (const place of this.servers.keys()) this.#ends(place)
    if (this.options.engine === 'etcd') {
      await this.#emptied()
      await this.#rested()
      await this.recorder.complete().catch(error => this.#found(error))
      await this.#membersAgree().catch(error => this.#found(error))
    } else await this.#readLmdb().catch(error => this.#found(error))
    if (this.#isLogJudged) this.#judged(() => this.log.settle())
    return this.#judge()
  }

  /** To its end, and in a short run long enough to see what comes after the last fault. */
  #worksUntilMs(): number {
    const healedMs = this.faults.at(-1)?.healedMs ?? null
    const dueMs = healedMs === null ? 0 : HEAL_MS_MIN - (nowMs() - healedMs)
    return Math.max(this.#endsMs, performance.now() + dueMs)
  }

  /** Ends everything, whatever state it is in. Files stay. */
  async stop(): Promise<void> {
    this.#isStopped = true
    for (const { child } of [...this.clients, ...this.servers, ...(this.resource ? [this.resource] : [])])
      child.kill('SIGKILL')
    this.recorder?.close()
    for (const [place, server] of this.servers.entries())
      writeFileSync(`${this.options.folder}/server-${place}.log`, server.output())
    await Promise.all(this.servers.map(({ exited }) => exited))
    for (const path of this.mounted.splice(0)) spawnSync('umount', [path])
    await this.links.close()
    await this.etcd?.stop()
  }

  /** Nobody can look while the server has it. */
  async #readLmdb(): Promise<void> {
    await sleep(LMDB_EMPTY_MS)
    await this.#rested()
    await this.servers[0]?.kill()
    const told = toldIn(this.toldAt(0))
    for (const commit of await commitsOfLmdb(`${this.dataOf(0)}/store`, ROOT, told)) this.#passed(commit)
    if (!this.#isEmpty()) this.#found(new Violation('I8: something is still held or awaited when everybody has gone'))
  }

  #isEmpty(): boolean {
    return [...this.log.judges.values()].every(
      ({ grants, waiters, delays }) => grants.size + waiters.size + delays.size === 0,
    )
  }

  async #emptied(): Promise<void> {
    const untilMs = performance.now() + EMPTY_MS_MAX
    while (this.#isLogJudged && !this.#isEmpty() && !this.#isStopped && performance.now() < untilMs)
      await sleep(LOOK_MS)
    if (this.#isLogJudged && !this.#isEmpty())
      this.#found(new Violation('I8: something is still held or awaited when everybody has gone'))
  }

  /** Those that run have given back what they had. */
  async #rested(): Promise<void> {
    for (const [place, server] of this.servers.entries()) {
      if (this.#isStopped) return
      await this.#resting.over(server, this.toldAt(place)).catch(error => this.#found(error))
    }
    Object.assign(this.measured, this.#resting.measured)
  }

  /** Each of them has the same keys, and of servers only those that run. */
  async #membersAgree(): Promise<void> {
    this.#resting.present(this.servers)
    const { client } = this.recorder
    const hashes = await Promise.all(
      this.etcd.members
        .filter(({ isRunning }) => isRunning)
        .map(({ url }) => client.at(url).hashKv(this.recorder.revision)),
    )
    const different = new Set(hashes.map(({ hash }) => hash))
    if (different.size > 1) throw new Violation('the members of etcd do not have the same keys')
  }

  #passed({ writes, atMs, byMs }: Commit): void {
    this.#passedWhen = { atMs, byMs }
    this.#resting.passed(writes)
    if (!this.#isLogJudged) return
    this.#judged(() => this.log.passed({ writes }, null))
    for (const [shard, keptFrom] of this.log.keptFrom)
      if (this.#keptFrom.get(shard) !== keptFrom) this.cleanings.push({ atMs, shard, keptFrom })
    this.#keptFrom = new Map(this.log.keptFrom)
  }

  /** After the first violation the model is not what the log is: nothing more can be said of it. */
  #judged(check: () => void): void {
    try {
      check()
    } catch (error) {
      this.#isLogJudged = false
      this.#found(error)
    }
  }

  #found(error: unknown): void {
    const what = error instanceof Error ? error.message : String(error)
    this.violations.push({ invariant: /^I\d+/.exec(what)?.[0] ?? 'run', what })
  }

  #judge(): Judgement {
    const evidence: Evidence = {
      recorded: this.recorded,
      cleanings: this.cleanings,
      histories: this.clients.map(client => client.history()),
      attempts: this.resource.attempts(),
      deaths: this.clients.flatMap(({ diedMs, config }) =>
        diedMs === null ? [] : [{ by: `client-${config.index}`, t: diedMs }],
      ),
      instance: INSTANCE,
      promises: this.servers.map((_, place) => toldIn(this.toldAt(place))),
    }
    this.evidence = evidence
    const judgement = judge(evidence)
    return { ...judgement, violations: [...this.violations, ...judgement.violations] }
  }
}
