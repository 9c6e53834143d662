/**
 * Two servers, one shard, one lock and time: beats, deadlines, deaths and takeovers by the product's own classes, and a client who believes.
 *
 * Time passes by grains, for all clocks at once, each at its own rate. A process that runs does what is due before time goes on, in any order among all; a
 * commit passes at once. What is late is drawn from a budget, and may be late by any number of grains: a process is stopped before any of its steps (or its
 * machine is suspended), a commit is slow to be applied or to be heard of, or is given up and applied all the same. So a walk that ends has
 * seen every schedule with so many faults in so many grains.
 */
import { MemoryStore } from '../../../packages/server/src/engine/memory/store.ts'
import type { Command } from '../../../packages/server/src/locks/model.ts'
import { encodeBatch, GroupText } from '../../../packages/server/src/shards/batch.ts'
import type { Answer } from '../../../packages/server/src/shards/port.ts'
import { acquireOf } from '../../simulation/core-world.ts'
import type { Steps } from '../explore.ts'
import { type Budget, clocks, none, type OwnersWorld } from './bounds.ts'
import { Holder } from './client.ts'
import { keys, OwnerServer } from './server.ts'
import type { Call } from './slow-engine.ts'
import { Witness } from './witness.ts'

/** As long as a beat: four are the life of a member record, and three the most that an owner may count on. */
const GRAIN_MS = 500
/** Of the holder's session: believed in for one grain, by any clock, and kept for two. */
export const TTL_MS = 1_000
/** The clock of the shard has come so far. */
const BEGUN_MS = 2_000
/** Of who waits for the lock: it outlives every walk. */
const LONG_TTL_MS = 3_600_000

export async function ownerSteps(world: OwnersWorld): Promise<Steps> {
  return new OwnerSteps(world)
}

type Post = { to: OwnerServer; moment: number; isReceived: boolean; answer: Answer | null; isAnswered: boolean }

class OwnerSteps implements Steps {
  readonly #world: OwnersWorld
  readonly #left: Budget
  readonly #store = new MemoryStore()
  readonly #witness = new Witness()
  #rates = ''
  #servers: OwnerServer[] = []
  /** Who has the lock at the beginning, and who asks for it. */
  #holders: Holder[] = []
  #post: Post | null = null
  #failure: unknown = null

  constructor(world: OwnersWorld) {
    this.#world = world
    this.#left = { ...world }
  }

  steps(): string[] {
    if (this.#servers.length === 0) return [...this.#world.clocks]
    const steps = this.#servers.flatMap(server => this.#stepsOf(server))
    steps.push(...this.#stepsOfHolders())
    if (this.#left.grains > 0 && this.#servers.every(server => !isBusy(server))) steps.push('time passes')
    return steps
  }

  async take(step: string): Promise<void> {
    this.#witness.moment++
    if (this.#servers.length === 0) await this.#begin(step)
    else if (step === 'time passes') await this.#pass()
    else await this.#act(step)
    await this.#settle()
    this.#judge(() => this.#witness.look(this.#servers, this.#holders))
    if (this.#failure !== null) throw this.#failure
  }

  state(): string {
    const { pairs } = this.#store.list({ prefix: 'x/', limit: 1_000 })
    const isNow = (of: OwnerServer) => (revision: number) =>
      (this.#store.get(keys.member(this.#other(of).id))?.modRevision ?? 0) === revision
    const post = this.#post && [
      this.#post.to.name,
      this.#witness.ownershipsAt(this.#post.moment),
      this.#post.isReceived,
      this.#post.isAnswered,
      this.#post.answer?.ok === true && this.#post.answer.type === 'renewed' && this.#post.answer.epoch,
    ]
    return JSON.stringify([
      this.#rates,
      this.#left,
      pairs.map(({ key }) => key),
      this.#witness.epoch,
      this.#servers.map(server => server.state(isNow(server))),
      this.#servers.map(server => this.#remaining(server)),
      this.#holders.map(holder => [holder.state(), this.#witness.isLive(holder)]),
      this.#witness.isFree,
      post,
    ])
  }

  // -------------------------------------------------------------------------------------------- what can happen

  #stepsOf(server: OwnerServer): string[] {
    const { name, life, clock, engine, isOver } = server
    const { stops, suspensions, kills, slow, losses, handOvers } = this.#isSteady(server) ? none : this.#left
    const steps: string[] = []
    const isRunning = life === 'running' && !isOver
    if (isRunning)
      for (const what of new Set(clock.due().map(timer => timer.what))) {
        steps.push(`${name} ${what}`)
        if (what === 'beats' && slow > 0) steps.push(`${name} beats slowly`)
      }
    for (const { number, result, isSlow, isGivenUp } of engine.calls) {
      const isLate = isSlow || isGivenUp || !isRunning
      if (isRunning && !isLate) steps.push(`${name} ${number} passes`)
      if (isRunning && !isLate && slow > 0) steps.push(`${name} ${number} is slow`)
      if (isLate && !result) steps.push(`${name} ${number} is applied`)
      if (isRunning && isLate && result) steps.push(`${name} ${number} is heard`)
      if (isRunning && isLate && !isGivenUp && losses > 0) steps.push(`${name} ${number} is given up`)
    }
    if (isOver) return steps
    if (isRunning && handOvers > 0 && server.isServing) steps.push(`${name} hands over`)
    const isAboutToAct = isBusy(server) || (this.#post?.to === server && !this.#post.isReceived)
    if (isRunning && isAboutToAct && stops > 0) steps.push(`${name} stops`)
    if (isRunning && isAboutToAct && suspensions > 0) steps.push(`${name} is suspended`)
    if (isRunning && isAboutToAct && kills > 0) steps.push(`${name} is killed`)
    if (life === 'stopped' || life === 'suspended') steps.push(`${name} goes on`)
    return steps
  }

  #stepsOfHolders(): string[] {
    const [holder, other] = this.#holders
    const steps: string[] = []
    if (!holder || !other) return steps
    const serving = this.#servers.filter(server => server.isServing && !server.isOver)
    if (this.#left.renewals > 0 && holder.isDue && this.#witness.isLive(holder))
      for (const { name } of serving) steps.push(`c renews at ${name}`)
    const post = this.#post
    if (post && !post.isReceived && post.to.life === 'running') steps.push('c is received')
    if (post?.isAnswered) steps.push('c hears')
    if (post) steps.push('c gives up')
    if (this.#world.isAwaited && this.#witness.isFree && !other.isRenewing)
      for (const { name, life } of serving) if (life === 'running') steps.push(`d asks ${name}`)
    return steps
  }

  // -------------------------------------------------------------------------------------------- what happens

  #pass(): Promise<unknown> {
    this.#left.grains--
    for (const server of this.#servers) server.pass(GRAIN_MS)
    for (const holder of this.#holders) holder.pass(GRAIN_MS)
    return Promise.all(this.#servers.filter(server => this.#isSteady(server)).map(server => this.#beat(server, false)))
  }

  #isSteady(server: OwnerServer): boolean {
    return !this.#world.unsteady.some(name => name === server.name)
  }

  async #act(step: string): Promise<void> {
    const [name, ...words] = step.split(' ')
    const server = this.#servers.find(one => one.name === name)
    if (name === 'c') return this.#actOfHolder(words)
    if (name === 'd') return this.#ask(words[1])
    if (!server) throw new Error(`there is no step ${step}`)
    const call = server.engine.calls.find(one => String(one.number) === words[0])
    if (call) return this.#actOfCall(server, call, words.slice(1).join(' '))
    switch (words[0]) {
      case 'beats':
        return this.#beat(server, words[1] === 'slowly')
      case 'looks':
        server.looks(this.#store.get(keys.member(this.#other(server).id))?.modRevision ?? 0)
        return this.#fire(server, 'looks')
      case 'tries':
        return this.#fire(server, 'tries again')
      case 'stops':
        this.#left.stops--
        server.life = 'stopped'
        return
      case 'is':
        this.#left[words[1] === 'killed' ? 'kills' : 'suspensions']--
        server.life = words[1] === 'killed' ? 'killed' : 'suspended'
        return
      case 'goes':
        return server.goOn()
      case 'hands':
        this.#left.handOvers--
        return server.handOver()
      default:
        throw new Error(`there is no step ${step}`)
    }
  }

  #actOfCall(server: OwnerServer, call: Call, what: string): void {
    const { engine } = server
    if (what === 'is slow') {
      this.#left.slow--
      call.isSlow = true
    } else if (what === 'is given up') {
      this.#left.losses--
      engine.giveUp(call)
    } else this.#judge(() => this.#do(server, call, what))
  }

  #do(server: OwnerServer, call: Call, what: string): void {
    if (what !== 'is heard') server.engine.apply(call)
    if (what !== 'is applied') server.hear(call)
  }

  #fire(server: OwnerServer, what: string): void {
    const timer = server.clock.due().find(one => one.what === what)
    if (timer) server.clock.fire(timer)
  }

  async #beat(server: OwnerServer, isSlow: boolean): Promise<void> {
    const before = new Set(server.engine.calls)
    this.#fire(server, 'beats')
    await this.#settle()
    const call = server.engine.calls.find(one => !before.has(one))
    if (!call) return
    if (isSlow) this.#actOfCall(server, call, 'is slow')
    else this.#actOfCall(server, call, 'passes')
  }

  #actOfHolder(words: string[]): void {
    const [holder] = this.#holders
    if (!holder) return
    if (words[0] === 'renews') {
      const to = this.#servers.find(server => server.name === words[2])
      if (!to) return
      this.#left.renewals--
      holder.renew()
      this.#post = { to, moment: this.#witness.moment, isReceived: false, answer: null, isAnswered: false }
      if (!this.#world.isSlowNet && to.life === 'running') this.#receive(holder, this.#post)
    } else if (words[0] === 'is' && this.#post) this.#receive(holder, this.#post)
    else {
      const answer = words[0] === 'hears' ? (this.#post?.answer ?? null) : null
      this.#post = null
      holder.hear(answer)
    }
  }

  #receive(holder: Holder, post: Post): void {
    post.isReceived = true
    const { session } = holder
    const { renewsForMs: ttlMs = TTL_MS } = this.#world
    post.to.submit({ type: 'renew', by: 'c', session, ttlMs, seenChanges: 0 }, answer => {
      if (answer) this.#judge(() => this.#witness.answered(post.to, answer, post.moment))
      this.#renewed(post, answer)
      Object.assign(post, { answer, isAnswered: true })
      if (this.#world.isSlowNet || this.#post !== post) return
      this.#post = null
      holder.hear(answer)
    })
  }

  /** Who asks for the lock is answered as soon as it can be: the sooner it believes, the worse. */
  #ask(name: string | undefined): void {
    const server = this.#servers.find(one => one.name === name)
    const other = this.#holders[1]
    if (!server || !other) return
    const { moment } = this.#witness
    const asking = other.ask()
    server.submit(acquireOf(other.session, ['l'], { request: 1 }), answer => {
      if (answer) this.#judge(() => this.#witness.answered(server, answer, moment))
      asking.hear(answer)
    })
  }

  // -------------------------------------------------------------------------------------------- deadlines, for the digest

  /** By server: until when the holder's session lives there at least, on the clock of the shard. */
  readonly #deadlines = new Map<OwnerServer, { epoch: number; ms: number }>()

  #renewed({ to }: Post, answer: Answer | null): void {
    if (answer?.ok && answer.type === 'renewed')
      this.#deadlines.set(to, { epoch: to.epoch, ms: to.leastMs + answer.confers.ttlMs })
  }

  #remaining(server: OwnerServer): number | null {
    const [holder] = this.#holders
    if (!server.isServing || !holder || !this.#witness.isLive(holder)) return null
    let deadline = this.#deadlines.get(server)
    if (deadline?.epoch !== server.epoch) {
      deadline = { epoch: server.epoch, ms: server.leastMs + this.#witness.ttlMs(holder) }
      this.#deadlines.set(server, deadline)
    }
    return deadline.ms - server.leastMs
  }

  // -------------------------------------------------------------------------------------------- the beginning

  async #begin(rates: string): Promise<void> {
    this.#rates = rates
    const [owner, rival, holder] = clocks[rates as keyof typeof clocks] // one of the steps offered
    const genesis = encodeBatch(
      { id: 'genesis', seq: 0, epoch: 0, prev: '', now: BEGUN_MS, at: 0, live: 0 },
      { carried: new GroupText(), entries: new GroupText() },
    )
    const writes = [{ key: keys.batch(0, 0), value: genesis }]
    this.#store.commit({ checks: [], writes })
    this.#witness.passed({ writes }, null, [])
    const [a, b] = [this.#start('a', 1, owner), this.#start('b', 2, rival)]
    this.#servers = [a, b]
    await this.#done(Promise.all(this.#servers.map(server => server.membership.start())))
    await this.#done(a.take({ members: new Map(), owners: [null] }))
    const opened = [
      this.#open(a, { name: 'c', ttlMs: TTL_MS, rate: holder }),
      this.#open(a, { name: 'd', ttlMs: LONG_TTL_MS, rate: 1 }),
    ]
    await this.#settle()
    const [c, d] = await Promise.all(opened)
    if (!c || !d) throw new Error('the world has not begun as it should')
    this.#holders = [c, d]
    const asking = c.ask()
    a.submit(acquireOf(c.session, ['l'], { request: 1 }), answer => asking.hear(answer))
    await this.#settle()
    for (const server of this.#world.isMutual ? [a, b] : [b]) {
      server.looks(this.#store.get(keys.member(this.#other(server).id))?.modRevision ?? 0)
      await this.#done(server.observer.start())
    }
    for (const server of this.#servers) server.engine.isPrompt = false
    if (!c.believes || !a.mayAnswer) throw new Error('the world has not begun as it should')
  }

  #start(name: string, seed: number, rate: number): OwnerServer {
    return new OwnerServer({
      name,
      seed,
      rate,
      store: this.#store,
      passed: (request, by) => this.#judge(() => this.#witness.passed(request, by, this.#servers)),
      failed: error =>
        this.#judge(() => {
          throw error
        }),
    })
  }

  #open(server: OwnerServer, holder: { name: string; ttlMs: number; rate: number }): Promise<Holder> {
    const command: Command = { type: 'open_session', by: 'test', ttlMs: holder.ttlMs, labels: null }
    return new Promise(resolve => {
      server.submit(command, answer => {
        if (answer?.ok && answer.type === 'session') resolve(new Holder({ ...holder, session: answer.session.id }))
      })
    })
  }

  #other(server: OwnerServer): OwnerServer {
    const other = this.#servers.find(one => one !== server)
    if (!other) throw new Error('there are two servers')
    return other
  }

  async #done(promise: Promise<unknown>): Promise<void> {
    await this.#settle()
    await promise
  }

  /** All that needs no further step has happened after this. */
  async #settle(): Promise<void> {
    for (let isMore = true; isMore; ) {
      await new Promise(resolve => setImmediate(resolve))
      isMore = false
      for (const { clock, life } of this.#servers) if (life === 'running' && clock.poll()) isMore = true
    }
  }

  #judge(act: () => void): void {
    try {
      act()
    } catch (error) {
      this.#failure ??= error
    }
  }
}

/** Time does not go on before it has done this. */
function isBusy({ life, isOver, clock, engine }: OwnerServer): boolean {
  if (life !== 'running' || isOver) return false
  return clock.due().length > 0 || engine.calls.some(call => !call.isSlow && !call.isGivenUp)
}
