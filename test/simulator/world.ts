/** One run: servers, clients and a store on virtual time, what befalls them by the plan, and those who judge what comes of it. */
import type { Command } from '../../packages/server/src/locks/model.ts'
import { shardOf } from '../../packages/server/src/shards/router.ts'
import { type Belief, Beliefs } from '../checker/beliefs.ts'
import { Grants } from '../checker/grants.ts'
import { Histories } from '../checker/histories.ts'
import { Violation } from '../checker/judge.ts'
import { LogWitness, type Written } from '../checker/log.ts'
import { judgePromises } from '../checker/promises.ts'
import { Events } from '../checker/watching.ts'
import type { Refusal } from './call.ts'
import { Caller, type CallerStage } from './callers.ts'
import { chanceOf } from './chance.ts'
import { Client } from './clients.ts'
import { Disturber } from './disturber.ts'
import { Freezes } from './freezes.ts'
import { leave, QUIET_MS } from './leaving.ts'
import { Network } from './network.ts'
import type { Plan } from './plan.ts'
import { Schedule } from './schedule.ts'
import { ROOT, Servers } from './servers.ts'
import { Watchers } from './watchers.ts'
import { receive, type Stage, work } from './workload.ts'

/** A run whose operations are not over by then does not end. */
const RUN_MS_MAX = 5 * 60_000
/** After the last fault has been healed, whatever waits has been served within this. */
const HEAL_MS = 90_000
/** Nothing new in the log for so long: it has been read, too. */
const REST_MS = 1_500

export type Figures = {
  /** Calls of the library by those who work, those beyond the plan's number (releases of what was held then) included. */
  operations: number
  virtualMs: number
  events: number
  digest: number
  batches: number
  takeovers: number
  carried: number
  beliefs: number
  writesAccepted: number
  writesRefused: number
  watched: number
  /** What clients saw of locks, and was judged; histories for which an order was searched, and states that were looked at. */
  seen: number
  searched: number
  linearStates: number
  undecided: number
  /** In which a server answered for a shard, and turns that were answered. */
  windows: number
  answered: number
  faults: Record<string, number>
  outcomes: Record<string, number>
}

type Held = { client: string; lock: string; token: number }

export class World {
  readonly schedule = new Schedule()
  readonly network: Network
  readonly servers: Servers
  readonly clients: Client[] = []
  readonly callers: Caller[] = []
  readonly instances: string[]
  readonly plan: Plan
  readonly beliefs = new Beliefs()
  readonly log: LogWitness
  readonly #grants = new Map<string, Grants>()
  readonly events = new Events()
  readonly freezes = new Freezes()
  readonly outcomes: Record<string, number> = {}
  /** Told of all that happens, for a timeline. */
  tell: (what: () => string) => void = () => undefined
  readonly #histories = new Histories()
  readonly #watchers = new Watchers(this)
  readonly #disturber: Disturber
  readonly #batches: { written: Pick<Written, 'shard' | 'batch'> }[] = []
  #promises = { windows: 0, answered: 0 }
  #operations = 0
  #acquires = 0
  #working = 0

  constructor(plan: Plan) {
    this.plan = plan
    const { schedule } = this
    this.instances = instancesOf(plan)
    this.network = new Network(schedule, { chance: chanceOf(plan.seed, 'network'), rates: plan.network })
    this.log = new LogWitness(ROOT, written => this.#wrote(written))
    this.servers = new Servers({
      schedule,
      network: this.network,
      seed: plan.seed,
      shards: plan.shards,
      instances: this.instances,
      rates: plan.serverRates,
      logBytesMin: plan.logBytesMin,
      storeRates: () => this.#disturber?.storeRates ?? {},
      room: () => this.#disturber?.room ?? 'enough',
      passed: ({ request, server }) => this.#guarded(() => this.log.passed(request, server)),
    })
    this.#disturber = new Disturber(this)
  }

  /** Runs to the end, and judges. Throws a `Violation` at once when there is one. */
  async run(): Promise<Figures> {
    const { schedule, plan } = this
    await this.#pass(2_500)
    for (let place = 0; place < plan.clients; place++) this.startClient(place)
    for (let place = 0; place < plan.callers; place++) this.#startCaller(place)
    this.instances.forEach((instance, place) => void this.#watchers.start(instance, place))
    this.#disturber.start()
    const isDone = () => this.#working === 0
    await schedule.run({ untilMs: RUN_MS_MAX, isOver: () => this.#operations >= plan.operations })
    this.#disturber.heal()
    await schedule.run({ untilMs: schedule.nowMs + HEAL_MS, isOver: isDone })
    if (!isDone()) {
      const stuck = [...this.#stage.workers].map(({ doing }) => doing)
      throw new Violation(`I8: after everything has been healed this does not end: ${stuck.join('; ')}`)
    }
    await this.#rest()
    return this.#figures()
  }

  startClient(place: number): void {
    const { plan, schedule, network, servers, freezes } = this
    const start = (this.clients[place] ? Number(this.clients[place].name.split('.')[1]) : 0) + 1
    const client = new Client({
      name: `client-${place}.${start}`,
      instance: this.instances[place % this.instances.length] ?? '',
      ttlMs: plan.ttlsMs[place] ?? 1_000,
      rate: plan.clientRates[place] ?? 1,
      schedule,
      network,
      servers,
      chance: chanceOf(plan.seed, `client ${place} ${start}`),
      freezes,
      opened: client => void receive(this.#stage, client),
    })
    this.clients[place] = client
    for (let worker = 0; worker < plan.workers; worker++) this.#startWorker(client, worker)
  }

  /** Whatever it was about to do it never will. */
  killClient(place: number): void {
    const client = this.clients[place]
    if (!client || client.machine.isDead) return
    this.#working -= this.#workers.get(client) ?? 0
    this.#workers.delete(client)
    client.machine.kill()
  }

  /** An operator asks some server that is there. */
  operate(instance: string, command: Command): void {
    for (let place = 0; place < this.servers.length; place++) {
      const shards = this.servers.shardsOf(place)
      if (!shards) continue
      const count = () => this.count('operated')
      shards.submit(instance, command, { answer: count, fail: count })
      return
    }
  }

  fail(error: unknown): void {
    this.schedule.fail(error)
  }

  readonly #workers = new Map<Client, number>()

  #startWorker(client: Client, number: number): void {
    this.#working++
    this.#workers.set(client, (this.#workers.get(client) ?? 0) + 1)
    const chance = chanceOf(this.plan.seed, `${client.name} ${number}`)
    work(this.#stage, client, chance).then(
      () => {
        if (client.machine.isDead) return
        this.#working--
        this.#workers.set(client, (this.#workers.get(client) ?? 1) - 1)
      },
      error => this.fail(error),
    )
  }

  #startCaller(place: number): void {
    const { plan, schedule, network, servers, instances, freezes } = this
    const name = `caller-${place}`
    const chance = chanceOf(plan.seed, name)
    const instance = instances[place % instances.length] ?? ''
    const rate = chance.pick([1, 0.9, 1.1])
    const caller = new Caller({ name, instance, rate, schedule, network, servers, chance, freezes }, this.#callerStage)
    this.callers.push(caller)
    this.#working++
    caller.work().then(
      () => void this.#working--,
      error => this.fail(error),
    )
  }

  readonly #stage: Stage<Client> = {
    nowMs: () => this.schedule.nowMs,
    takesOne: () => {
      if (this.#operations >= this.plan.operations) return false
      this.#operations++
      return true
    },
    askedNothing: () => void this.#operations--,
    nextOperation: () => ++this.#acquires,
    others: client =>
      this.clients.filter(
        other => other !== client && other.options.instance === client.options.instance && !other.machine.isDead,
      ),
    began: (client, lock) => this.#begins(client.options.instance, client.beliefIn(lock)),
    holds: (client, lock) => this.#holds(client.options.instance, client.beliefIn(lock)),
    released: ({ name: client, options }, { name: lock, token }, askedMs) =>
      this.#released(options.instance, { client, lock, token }, askedMs),
    refused: ({ name: client, options }, refusal) => this.#refused(options.instance, { client, ...refusal }),
    protectedWrite: ({ options }, { name: lock, token }) => this.#protectedWrite(options.instance, { lock, token }),
    history: (lock, instance) => this.#histories.of(lock, instance),
    counted: what => this.count(what),
    fail: error => this.fail(error),
    workers: new Set(),
    isWide: () => this.plan.isWide,
  }

  readonly #callerStage: CallerStage = {
    nowMs: () => this.schedule.nowMs,
    takesOne: () => this.#stage.takesOne(),
    nextOperation: () => ++this.#acquires,
    history: (lock, instance) => this.#histories.of(lock, instance),
    counted: what => this.count(what),
    fail: error => this.fail(error),
    workers: this.#stage.workers,
    begins: (instance, belief) => this.#begins(instance, belief),
    holds: (instance, held) => this.#holds(instance, held),
    released: (instance, held, askedMs) => this.#released(instance, held, askedMs),
    refused: (instance, client, refusal) => this.#refused(instance, { client, ...refusal }),
    protectedWrite: (instance, { name, token }) => this.#protectedWrite(instance, { lock: name, token }),
  }

  #released(instance: string, { client, lock, token }: Held, askedMs: number): void {
    this.tell(() => `${client} knows that ${lock} ${token} is released`)
    const isDoubtful = this.freezes.isDoubtful({ sentMs: askedMs, heardMs: this.schedule.nowMs })
    const grants = this.#grantsOf(instance)
    if (isDoubtful && grants.isHeld(token)) return this.count('I18 owed to a freeze')
    this.#guarded(() => grants.toldReleased({ lock, token }))
  }

  #refused(instance: string, { client, operation, why, askedMs }: Refusal & { client: string }): void {
    this.tell(() => `${client} is refused ${operation}: ${why}`)
    // Such a server may also have said that the session has ended, in which it was asked first; and then it was asked in another.
    const isDoubtful = this.freezes.isDoubtful({ sentMs: askedMs, heardMs: this.schedule.nowMs })
    if (isDoubtful) return this.count('refused, and a server had been frozen')
    this.#guarded(() => this.#grantsOf(instance).toldRefused(operation))
  }

  #protectedWrite(instance: string, write: { lock: string; token: number }): void {
    const grants = this.#grantsOf(instance)
    this.schedule.after(this.network.delayMs(), () => this.#guarded(() => void grants.write(write)))
  }

  #begins(instance: string, belief: Belief): void {
    const { client, lock, token } = belief
    this.tell(() => `${client} holds ${lock} ${token}`)
    this.count('granted')
    this.#guarded(() => {
      this.#grantsOf(instance).told({ lock, token })
      this.beliefs.begins({ ...belief, lock: `${instance} ${lock}` })
    })
  }

  #holds(instance: string, held: Parameters<CallerStage['holds']>[1]): void {
    this.#guarded(() => this.beliefs.holds({ ...held, lock: `${instance} ${held.lock}` }))
  }

  #grantsOf(instance: string): Grants {
    const grants = this.#grants.get(instance) ?? new Grants()
    this.#grants.set(instance, grants)
    return grants
  }

  #wrote(written: Written): void {
    const { entry, instance } = written
    this.tell(
      () =>
        `log ${written.batch.seq}: ${entry.type} ${entry.record} ${'lock' in entry ? entry.lock : ''} ${'token' in entry ? entry.token : ''} ${'session' in entry ? entry.session : ''} ${JSON.stringify(entry.value)}`,
    )
    this.#grantsOf(instance).wrote(written)
    this.events.wrote(written)
    if (this.#batches.at(-1)?.written.batch !== written.batch) this.#batches.push({ written })
    const { nowMs } = this.schedule
    this.#histories.wrote(written, { fromMs: nowMs, toMs: nowMs })
    if (entry.record === 'grant' && entry.value === null)
      this.beliefs.ended({ lock: `${instance} ${entry.lock}`, token: entry.token, how: entry.type })
  }

  /** What a judge throws ends the run, wherever it was called from. */
  #guarded(judge: () => void): void {
    try {
      judge()
    } catch (error) {
      this.fail(error)
    }
  }

  #pass(ms: number): Promise<void> {
    return this.schedule.run({ untilMs: this.schedule.nowMs + ms, isOver: () => false })
  }

  /** What watchers are to have read has been written for a while: what was handed over may be taken up, and given back, long after all else. */
  async #passUntilQuiet(): Promise<void> {
    const endMs = this.schedule.nowMs + QUIET_MS
    let before = -1
    while (this.log.counts.entries !== before && this.schedule.nowMs < endMs) {
      before = this.log.counts.entries
      await this.#pass(REST_MS)
    }
  }

  /** Everybody leaves; then nothing is left, and the judges of a whole run say what they have. */
  async #rest(): Promise<void> {
    await this.#passUntilQuiet()
    this.outcomes.watched = this.#watchers.compare()
    this.#watchers.leave()
    await leave(this)
    this.log.settle()
    this.#histories.judge(check => check(), this.freezes)
    const promises = { promises: this.servers.promised.told, recorded: this.#batches }
    let owedPromises = 0
    this.#promises = judgePromises(promises, check => {
      try {
        check()
      } catch (error) {
        if (!(error instanceof Violation) || !this.freezes.hasServers) throw error
        owedPromises++
      }
    })
    const owed = { ...this.beliefs.owed, I12: this.#histories.owed, I21: owedPromises }
    for (const [invariant, count] of Object.entries(owed))
      if (count > 0) this.outcomes[`${invariant} owed to a freeze`] = count
  }

  count(what: string): void {
    this.outcomes[what] = (this.outcomes[what] ?? 0) + 1
  }

  #figures(): Figures {
    const { schedule, log, beliefs } = this
    const grants = [...this.#grants.values()]
    return {
      operations: this.#operations + (this.outcomes.beyond ?? 0),
      virtualMs: Math.round(schedule.nowMs),
      events: schedule.events,
      digest: schedule.digest,
      batches: log.counts.batches,
      takeovers: log.counts.takeovers,
      carried: log.counts.carried,
      beliefs: beliefs.begun,
      writesAccepted: grants.reduce((sum, { accepted }) => sum + accepted, 0),
      writesRefused: grants.reduce((sum, { stale }) => sum + stale, 0),
      watched: this.outcomes.watched ?? 0,
      seen: this.#histories.counts.operations,
      searched: this.#histories.counts.searched,
      linearStates: this.#histories.counts.states,
      undecided: this.#histories.counts.undecided,
      ...this.#promises,
      faults: { ...this.#disturber.counts, ...this.servers.counts, ...this.network.counts },
      outcomes: this.outcomes,
    }
  }
}

/** Names that fall to a shard each. */
function instancesOf({ shards, instances }: Plan): string[] {
  const names: string[] = []
  for (let number = 0; names.length < instances; number++) {
    const name = `instance-${number}`
    if (shardOf(name, shards) === names.length) names.push(name)
  }
  return names
}
