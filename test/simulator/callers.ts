/**
 * Those who ask over REST, by `/v1`: they acquire with and without an `Idempotency-Key`, ask again elsewhere when nobody knows what came of it, hang up in the
 * middle, renew, release, are gone without a word; and try what `/v1` does not give them: to use its `lock_id` as a session of `/v2`.
 */
import type { Belief } from '../checker/beliefs.ts'
import { Violation } from '../checker/judge.ts'
import { exclusive } from '../checker/lock-model.ts'
import { Call, type Refusal } from './call.ts'
import type { Chance } from './chance.ts'
import { exclusiveLocks, refusalOf } from './claims.ts'
import { type Freezes, type Reading, readingOf } from './freezes.ts'
import { Machine } from './machine.ts'
import type { Network } from './network.ts'
import type { RestReply, RestRequest } from './rest.ts'
import type { Schedule } from './schedule.ts'
import type { Servers } from './servers.ts'
import type { Stage } from './workload.ts'

/** Of what a `/v1` holder is told it may rely on so much, counted from before it asked (SAFETY section 2). */
const SURELY = 0.9 / 1.1
const GUARD_MS_MAX = 250
/** Under one key, when the outcome is not known. */
const ATTEMPTS_MAX = 4
/** A caller whose server has gone silent does not wait for ever. */
const SILENCE_MS = 15_000

/** What is believed of a grant: from when, for how long, and when that was heard, in real time. */
type Held = {
  name: string
  token: number
  lockId: string
  since: Reading
  heardMs: number
  forMs: number
  isOver: boolean
}

/** What callers need of the world beside what clients do. */
export type CallerStage = Pick<
  Stage,
  'nowMs' | 'takesOne' | 'nextOperation' | 'history' | 'learned' | 'counted' | 'fail' | 'workers'
> & {
  begins(instance: string, belief: Belief): void
  holds(instance: string, held: Pick<Belief, 'client' | 'lock' | 'token' | 'restsOnFreeze'>): void
  released(instance: string, held: Pick<Belief, 'client' | 'lock' | 'token'>, askedMs: number): void
  refused(instance: string, who: string, refusal: Refusal): void
  protectedWrite(instance: string, lock: { name: string; token: number }): void
}

export type CallerOptions = {
  name: string
  instance: string
  rate: number
  schedule: Schedule
  network: Network
  servers: Servers
  chance: Chance
  freezes: Freezes
}

export class Caller {
  readonly name: string
  readonly instance: string
  readonly machine: Machine
  readonly #options: CallerOptions
  readonly #stage: CallerStage
  readonly #chance: Chance
  /** What it awaits, for whoever finds that it never comes. */
  doing = ''
  #keys = 0
  /** The store was, when it was asked last. */
  #isFull = false

  constructor(options: CallerOptions, stage: CallerStage) {
    this.#options = options
    this.#stage = stage
    this.#chance = options.chance
    this.name = options.name
    this.instance = options.instance
    this.machine = new Machine(options.schedule, { name: options.name, rate: options.rate })
  }

  async work(): Promise<void> {
    this.#stage.workers.add(this)
    while (this.#stage.takesOne()) {
      try {
        const held = await this.#acquire()
        if (held) await this.#hold(held)
        else await this.#sleep(this.#chance.between(1, 60) * (this.#isFull ? 10 : 1))
      } catch (error) {
        return this.#stage.fail(error)
      }
    }
    this.#stage.workers.delete(this)
  }

  async #acquire(): Promise<Held | null> {
    const chance = this.#chance
    this.#isFull = false
    const name = chance.pick(exclusiveLocks)
    const operation = this.#stage.nextOperation()
    const key = chance.below(2) === 0 ? null : `${this.name} ${++this.#keys}`
    const body = {
      ttl_seconds: chance.pick([1, 2, 5]),
      wait_seconds: chance.pick([0, 0, 0.2, 3, 20]),
      metadata: { operation },
      ...(chance.below(15) === 0 && { preempt: true, priority: 3 }),
    }
    const request: RestRequest = { does: 'acquire', name, headers: key ? { 'idempotency-key': key } : {}, body }
    const call = this.#begin(name, 'acquire')
    for (let attempt = 1; ; attempt++) {
      const hangUpMs = chance.below(10) === 0 ? chance.between(0, 1_500) : null
      const since = this.#now()
      const reply = await this.#ask(request, hangUpMs ?? SILENCE_MS + body.wait_seconds * 1_000)
      if (reply?.ok) {
        call.ends({ does: 'acquire', token: Number(reply.body.token) })
        return this.#granted(name, since, reply.body)
      }
      if (reply && reply.code !== 'unavailable') {
        this.#refused(operation, reply, { call, attempt, askedMs: since.trueMs })
        return null
      }
      this.#stage.counted(reply ? 'caller: unknown' : hangUpMs === null ? 'caller: silence' : 'caller: hung up')
      // Without a key it would be another request. Some never come back.
      if (!key || attempt === ATTEMPTS_MAX || chance.below(4) === 0) return null
      await this.#sleep(chance.between(50, 500))
    }
  }

  #refused(
    operation: number,
    { code, reason }: Extract<RestReply, { ok: false }>,
    { call, attempt, askedMs }: { call: Call; attempt: number; askedMs: number },
  ): void {
    this.#stage.counted(`caller: ${code}`)
    this.#isFull = code === 'storage_full'
    if (code !== 'lock_held' && code !== 'storage_full') return
    if (code === 'lock_held') call.ends(refusalOf(reason, { claim: exclusive, by: operation }))
    // Of earlier attempts nobody knows what comes: one may lie between two servers still, and a refusal is not remembered under the key (SAFETY section 6).
    if (attempt > 1) return this.#stage.counted('caller: refused, an attempt unknown')
    this.#stage.refused(this.instance, this.name, { operation, why: code, askedMs })
  }

  #granted(name: string, since: Reading, body: Record<string, unknown>): Held {
    const { token, lock_id: lockId, ttl_seconds: ttl, waited_seconds: waited } = body
    if (
      typeof token !== 'number' ||
      typeof lockId !== 'string' ||
      typeof ttl !== 'number' ||
      typeof waited !== 'number'
    )
      throw new Error(`a grant without its fields: ${JSON.stringify(body)}`)
    this.#stage.counted('caller: granted')
    const forMs = beliefMs(ttl * 1_000, waited * 1_000)
    const held: Held = { name, token, lockId, since, forMs, heardMs: this.#stage.nowMs(), isOver: false }
    this.#stage.begins(this.instance, {
      client: this.name,
      lock: name,
      token,
      mode: 'exclusive',
      slots: [],
      isBelieved: () => this.#isBelieved(held),
      restsOnFreeze: () => this.#restsOnFreeze(held),
    })
    return held
  }

  async #hold(held: Held): Promise<void> {
    const chance = this.#chance
    const isLong = chance.below(10) === 0
    for (let deeds = chance.below(4); deeds >= 0; deeds--) {
      await this.#sleep(isLong ? chance.between(0, 1_500) : chance.between(0, 30))
      if (!this.#isBelieved(held)) break
      this.#stage.holds(this.instance, {
        client: this.name,
        lock: held.name,
        token: held.token,
        restsOnFreeze: () => this.#restsOnFreeze(held),
      })
      this.#stage.protectedWrite(this.instance, held)
      const draw = chance.below(5)
      if (draw < 2) await this.#renew(held)
      if (draw === 2) await this.#misuse(held)
    }
    // Some are gone without a word.
    if (chance.below(6) > 0) await this.#release(held)
  }

  async #renew(held: Held): Promise<void> {
    const { name, lockId } = held
    const ttl = this.#chance.pick([null, null, 1, 4])
    const body = { lock_id: lockId, ...(ttl !== null && { ttl_seconds: ttl }) }
    const since = this.#now()
    this.doing = `${this.name} renew ${name} since ${this.#stage.nowMs()}`
    const reply = await this.#ask({ does: 'renew', name, headers: {}, body })
    if (!reply) return
    if (reply.ok) {
      // Also when it is shorter: of a grant under notice that is what is left.
      held.since = since
      held.heardMs = this.#stage.nowMs()
      held.forMs = beliefMs(Number(reply.body.ttl_seconds) * 1_000, 0)
    } else if (reply.code === 'lock_lost') held.isOver = true
    this.#staysPossible(reply)
    this.#stage.counted(`caller: renewal ${reply.ok ? 'answered' : reply.code}`)
  }

  async #misuse({ lockId }: Held): Promise<void> {
    const headers = { 'holdfast-session': lockId }
    const name = this.#chance.pick(exclusiveLocks)
    this.doing = `${this.name} misuse ${name} since ${this.#stage.nowMs()}`
    const reply = await this.#ask({ does: 'enter', name, headers, body: { wait_ms: this.#chance.pick([0, 100]) } })
    if (reply?.ok) throw new Violation(`I11: ${name} was granted to a session that was made for one grant`)
    if (reply) this.#stage.counted(`caller: misuse ${reply.code}`)
  }

  async #release(held: Held): Promise<void> {
    const { name, token, lockId } = held
    held.isOver = true
    const askedMs = this.#stage.nowMs()
    const call = this.#begin(name, 'release')
    const reply = await this.#ask({ does: 'release', name, headers: {}, body: { lock_id: lockId } })
    if (reply) this.#staysPossible(reply)
    if (!reply?.ok) return
    call.ends({ does: 'leave', token })
    this.#stage.released(this.instance, { client: this.name, lock: name, token }, askedMs)
  }

  #staysPossible(reply: RestReply): void {
    if (!reply.ok && reply.code === 'storage_full')
      throw new Violation(`I18: what grows nothing is refused for want of room: ${this.doing}`)
  }

  /** null: no answer, for the connection ended, by this side after `patienceMs`. */
  #ask(request: RestRequest, patienceMs = SILENCE_MS): Promise<RestReply | null> {
    const { network, servers, chance } = this.#options
    const place = chance.below(servers.length)
    return new Promise(resolve => {
      const ended = (reply: RestReply | null) => {
        cancel()
        resolve(reply)
      }
      const sending = network.connect({
        from: this.machine,
        to: () => servers.machine(place),
        near: {
          opened: () => sending.send(JSON.stringify(request)),
          received: text => ended(JSON.parse(text) as RestReply),
          closed: () => ended(null),
        },
        accept: back => servers.acceptRequest(place, back, { subject: this.name, instance: this.instance }),
      })
      const cancel = this.machine.after(patienceMs, () => {
        sending.close()
        resolve(null)
      })
    })
  }

  #isBelieved({ isOver, since, forMs }: Held): boolean {
    return !isOver && this.#elapsedMs(since) < forMs
  }

  /** The most that may have passed. */
  #elapsedMs(since: Reading): number {
    const { monotonicMs, bootMs } = this.#now()
    return Math.max(monotonicMs - since.monotonicMs, bootMs - since.bootMs)
  }

  #restsOnFreeze({ since: { trueMs: sentMs }, heardMs }: Held): boolean {
    return sentMs < this.machine.frozenAtMs || this.#options.freezes.isDoubtful({ sentMs, heardMs })
  }

  #now(): Reading {
    return readingOf(this.machine)
  }

  #begin(name: string, doing: string): Call {
    this.doing = `${this.name} ${doing} ${name} since ${this.#stage.nowMs()}`
    return new Call(this.#stage.history(name, this.instance), this.#stage, { does: 'nothing' })
  }

  #sleep(ms: number): Promise<void> {
    return new Promise(resolve => void this.machine.after(ms, resolve))
  }
}

function beliefMs(ttlMs: number, waitedMs: number): number {
  return (waitedMs + ttlMs) * SURELY - Math.min(GUARD_MS_MAX, ttlMs / 20)
}
