/**
 * The ownership of one shard and its log, without time: two servers take it over from each other, read it, append to it and clean it, by the product's own
 * functions. Each of their calls of the store is sent, applied and heard in steps of their own; answers get lost, the process that waits is given up,
 * and what was applied is applied again at any later time. A server can die at any moment, and be declared dead while it lives, which
 * without clocks stands for every pause there is. Judged by the log (I15, I19, I20, I22).
 */
import { MemoryStore } from '../../packages/server/src/engine/memory/store.ts'
import { encodeBatch, GroupText } from '../../packages/server/src/shards/batch.ts'
import { keysUnder } from '../../packages/server/src/shards/keys.ts'
import { OwnershipLost, ShardLog } from '../../packages/server/src/shards/log.ts'
import type { Membership } from '../../packages/server/src/shards/membership.ts'
import {
  decodeOwner,
  type Ownership,
  type OwnershipOptions,
  takeFrom,
} from '../../packages/server/src/shards/ownership.ts'
import { LogBroken, recover } from '../../packages/server/src/shards/recovery.ts'
import { silentTelemetry } from '../../packages/server/src/shards/telemetry.ts'
import { LogWitness } from '../checker/log.ts'
import type { Steps } from './explore.ts'
import { HeldEngine } from './held-engine.ts'

const keys = keysUnder('x')

export type LogWorld = { servers: number; appends: number; losses: number; repeats: number; deaths: number }

export async function logSteps(world: LogWorld): Promise<Steps> {
  const steps = new LogSteps(world)
  await settle()
  return steps
}

class LogSteps implements Steps {
  readonly #store = new MemoryStore()
  readonly #witness = new LogWitness('x', () => undefined)
  readonly #servers: Server[]
  #deaths: number
  #failure: unknown = null

  constructor({ servers, appends, losses, repeats, deaths }: LogWorld) {
    this.#deaths = deaths
    this.#commit('genesis', [{ key: keys.batch(0, 0), value: batchOf({ seq: 0, epoch: 0, prev: '', id: 'genesis' }) }])
    this.#servers = Array.from({ length: servers }, (_, place) => {
      const name = String.fromCharCode(97 + place)
      this.#commit(name, [{ key: keys.member(name), value: Buffer.from(name) }])
      return new Server({
        store: this.#store,
        name,
        appends,
        losses,
        repeats,
        passed: request => this.#judge(() => this.#witness.passed(request, name)),
        failed: error =>
          this.#judge(() => {
            throw error
          }),
      })
    })
  }

  steps(): string[] {
    const steps = this.#servers.flatMap(server => server.steps())
    if (this.#deaths === 0) return steps
    for (const { name } of this.#servers) if (this.#store.get(keys.member(name))) steps.push(`${name} is declared dead`)
    return steps
  }

  async take(step: string): Promise<void> {
    const dead = /^(\S+) is declared dead$/.exec(step)?.[1]
    if (dead) {
      this.#deaths--
      this.#commit(dead, [{ key: keys.member(dead), delete: true }])
    } else for (const server of this.#servers) if (server.take(step)) break
    await settle()
    if (this.#failure !== null) throw this.#failure
    if (this.steps().length === 0) this.#witness.settle()
  }

  state(): string {
    const { pairs } = this.#store.list({ prefix: 'x/', limit: 1_000 })
    // The order of revisions, not the numbers.
    const revisions = [...new Set(pairs.map(({ modRevision }) => modRevision))].sort((one, other) => one - other)
    const stored = pairs.map(({ key, value, modRevision }) => [
      key,
      Buffer.from(value).toString('latin1'),
      revisions.indexOf(modRevision),
    ])
    return JSON.stringify([this.#deaths, stored, this.#servers.map(server => server.state())])
  }

  #commit(name: string, writes: Parameters<MemoryStore['commit']>[0]['writes']): void {
    this.#store.commit({ checks: [], writes })
    this.#witness.passed({ writes }, name)
  }

  #judge(act: () => void): void {
    try {
      act()
    } catch (error) {
      this.#failure ??= error
    }
  }
}

type ServerOptions = {
  store: MemoryStore
  name: string
  appends: number
  losses: number
  repeats: number
  passed(request: Parameters<MemoryStore['commit']>[0]): void
  failed(error: unknown): void
}

/** What a server does with a shard, again and again: looks who has it, takes it if that one is dead, reads the log, appends until it has lost it. */
class Server {
  readonly name: string
  readonly #engine: HeldEngine
  readonly #options: ServerOptions
  #timers: (() => void)[] = []
  #appended = 0
  #isOver = false

  constructor(options: ServerOptions) {
    this.name = options.name
    this.#options = options
    this.#engine = new HeldEngine(options)
    this.#run().catch(error => options.failed(error))
  }

  steps(): string[] {
    const steps = this.#engine.steps()
    if (this.#timers.length > 0) steps.push(`${this.name} tries again`)
    return steps
  }

  take(step: string): boolean {
    if (step !== `${this.name} tries again`) return this.#engine.take(step)
    this.#timers.shift()?.()
    this.#engine.hears('a timer')
    return true
  }

  state(): string {
    return `${this.#engine.state()} ${this.#timers.length} ${this.#appended} ${this.#isOver}`
  }

  async #run(): Promise<void> {
    const { name } = this
    const clock = {
      hrtimeMs: () => 0,
      bootMs: () => 0,
      wallMs: () => 0,
      afterPoll: (callback: () => void) => void this.#timers.push(callback),
      after: (_: number, callback: () => void) => {
        this.#timers.push(callback)
        return () => undefined
      },
    }
    // Of both, what a takeover uses.
    const ownership = {
      engine: this.#engine,
      clock,
      keys,
      telemetry: silentTelemetry,
      membership: { server: name } as Membership,
      processes: null as unknown as OwnershipOptions['processes'],
    }
    // A server whose record is gone ends: its beats see to that.
    while (this.#options.store.get(keys.member(name)) && this.#appended < this.#options.appends) {
      const pair = await this.#engine.read(keys.owner(0))
      const owner = pair && decodeOwner(pair)
      const isFree =
        !owner || owner.server === '' || owner.server === name || !this.#options.store.get(keys.member(owner.server))
      if (!isFree) break
      const taken = await takeFrom(ownership, 0, owner)
      if (taken) await this.#own(taken, clock)
    }
    this.#isOver = true
  }

  async #own(ownership: Ownership, clock: OwnershipOptions['clock']): Promise<void> {
    const engine = this.#engine
    const options = { engine, clock, keys, shard: 0, ownership, onBatch: () => undefined }
    const recovered = await recover(options).catch((error: unknown) => {
      // Who was declared dead while it read may meet what the next owner has written.
      const pair = this.#options.store.get(keys.owner(0))
      if (error instanceof LogBroken && pair?.modRevision !== ownership.revision) return null
      throw error
    })
    if (!recovered) return
    const log = new ShardLog({ engine, clock, keys, shard: 0, telemetry: silentTelemetry, ...recovered })
    try {
      while (this.#appended < this.#options.appends) {
        const seq = log.end.seq + 1
        const id = `${this.name} ${ownership.epoch} ${seq}`
        // Empty, so the oldest can always be cleaned.
        const cleaned = seq > 2 ? { before: seq - 1 } : null
        await log.append(batchOf({ seq, epoch: ownership.epoch, prev: log.end.hash, id }), ownership, cleaned)
        this.#appended++
      }
    } catch (error) {
      if (!(error instanceof OwnershipLost)) throw error
    }
  }
}

function batchOf(header: { seq: number; epoch: number; prev: string; id: string }): Buffer {
  return encodeBatch(
    { ...header, now: header.seq, at: 0, live: 0 },
    { carried: new GroupText(), entries: new GroupText() },
  )
}

/** All that needs no further step has happened after this. */
function settle(): Promise<void> {
  return new Promise(resolve => setImmediate(resolve))
}
