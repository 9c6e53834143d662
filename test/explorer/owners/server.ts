/**
 * A server of the small world with time: the product's `Membership`, `Observer` and `Host`, hence its shards, turns and timers, on a clock and a store
 * that go by steps. What `routing/` does between them is here in a line: what the plan gives to this server is taken as soon as it is seen.
 */
import type { CommitRequest } from '../../../packages/server/src/engine/engine.ts'
import type { MemoryStore } from '../../../packages/server/src/engine/memory/store.ts'
import type { Command } from '../../../packages/server/src/locks/model.ts'
import { planOf } from '../../../packages/server/src/shards/assignment.ts'
import { Host } from '../../../packages/server/src/shards/host.ts'
import { keysUnder } from '../../../packages/server/src/shards/keys.ts'
import { Membership } from '../../../packages/server/src/shards/membership.ts'
import { Observer, type View } from '../../../packages/server/src/shards/observer.ts'
import { takeFrom } from '../../../packages/server/src/shards/ownership.ts'
import type { Answer } from '../../../packages/server/src/shards/port.ts'
import type { Processes } from '../../../packages/server/src/shards/processes.ts'
import { TICK_MS_MAX } from '../../../packages/server/src/shards/shard-clock.ts'
import { serverId } from '../../../packages/server/src/shards/shards.ts'
import { silentTelemetry } from '../../../packages/server/src/shards/telemetry.ts'
import { withoutTerms } from '../../../packages/server/src/shards/terms.ts'
import { Chance } from '../../simulator/chance.ts'
import { type Call, SlowEngine } from './slow-engine.ts'
import { type Life, SteppedClock } from './stepped-clock.ts'

export const ROOT = 'x'
export const INSTANCE = 'main'
export const keys = keysUnder(ROOT)

const facts = { pid: 1, bootId: null, pidNamespace: null, processStart: null }
const strangers: Processes = { own: () => facts, stateOf: () => 'unknown' }
/** Beyond this an owner's deadline has passed, whatever it was. */
const AGE_MS_MAX = 4_000
/** Looks that are remembered: what they add up to is more than any patience. */
const LOOKS_MAX = 12

export type ServerOptions = {
  name: string
  seed: number
  rate: number
  store: MemoryStore
  passed(request: CommitRequest, by: OwnerServer): void
  failed(error: unknown): void
}

export class OwnerServer {
  /** For people; what the store knows is the id of its start. */
  readonly name: string
  readonly id: string
  readonly clock: SteppedClock
  readonly engine: SlowEngine
  readonly membership: Membership
  readonly observer: Observer
  readonly #host: Host
  readonly #options: ServerOptions
  life: Life = 'running'
  isOver = false
  /** What follows is for the digest of the state: what the parts above know and do not tell. */
  #beatSentMs: number | null = null
  #seen = { revision: 0, looks: [] as string[], lookedMs: 0 }
  #tickedMs: number
  /** By the rule of the shard's clock. */
  leastMs = 0

  constructor(options: ServerOptions) {
    const { name, seed, rate, store } = options
    this.#options = options
    this.name = name
    const random = new Chance(seed)
    const source = { bytes: (count: number) => random.bytes(count) }
    // All are started under one name, as processes of one machine that was started again.
    this.id = serverId('s', source)
    this.clock = new SteppedClock(rate)
    this.#tickedMs = this.clock.hrtimeMs()
    this.engine = new SlowEngine({
      store,
      passed: request => options.passed(request, this),
      nowMs: () => this.clock.hrtimeMs(),
    })
    const parts = { engine: this.engine, clock: this.clock, random: source, keys, shards: 1 }
    const telemetry = { ...silentTelemetry, beat: () => undefined }
    const fatal = (error: Error) => this.#end(error)
    this.membership = new Membership({
      ...parts,
      telemetry,
      server: this.id,
      address: name,
      process: facts,
      isProgressing: () => this.#host.isProgressing,
      fatal,
    })
    const { membership } = this
    this.observer = new Observer({ ...parts, telemetry, membership, fatal, seen: view => this.#follow(view) })
    this.#host = new Host({
      ...parts,
      telemetry,
      membership,
      ownership: { ...parts, telemetry, membership, processes: strangers },
      clusterId: 'x',
      termsOf: withoutTerms,
      retake: async () => null,
      changed: () => undefined,
      fatal,
    })
  }

  get isServing(): boolean {
    return this.#host.serving(0) !== null
  }

  get epoch(): number {
    return this.#host.serving(0)?.shard.health().epoch ?? 0
  }

  /** What it would say now of a request that it has just received. */
  get mayAnswer(): boolean {
    return this.isServing && this.membership.isWithinDeadline()
  }

  take(view: View): Promise<boolean> {
    const { engine, clock, membership } = this
    const options = { engine, clock, keys, telemetry: silentTelemetry, membership, processes: strangers }
    return this.#host.open(0, () => takeFrom(options, 0, view.owners[0] ?? null))
  }

  /** `answer` gets null when it is not known what came of it, or nothing did. */
  submit(command: Command, answer: (answer: Answer | null) => void): void {
    const { shard } = this.#host.hosted.get(0) ?? {}
    if (!shard) return answer(null)
    shard.submit(INSTANCE, command, { answer, fail: () => answer(null) })
  }

  handOver(): void {
    this.#host.close(0).catch(error => this.#options.failed(error))
  }

  pass(ms: number): void {
    this.clock.pass(ms, this.life, () => this.#ticked())
  }

  goOn(): void {
    this.life = 'running'
    this.clock.goOn(() => this.#ticked())
  }

  /** A call is about to be heard of: of a beat, this is when it was sent. */
  hear(call: Call): void {
    const isBeat = call.request.writes.some(write => 'value' in write && write.key === keys.member(this.id))
    if (isBeat && call.result?.ok) this.#beatSentMs = call.sentMs
    this.engine.hear(call)
  }

  /** It is about to look at the other, whose record has this revision. */
  looks(revision: number): void {
    const seen = this.#seen
    const nowMs = this.clock.hrtimeMs()
    if (seen.revision !== revision) seen.looks = []
    else
      seen.looks = [...seen.looks, `${nowMs - seen.lookedMs} ${this.membership.isWithinDeadline()}`].slice(-LOOKS_MAX)
    Object.assign(seen, { revision, lookedMs: nowMs })
  }

  /** All that this server will do depends on, with `isNow`: whether the other's record is the one that was seen. */
  state(isNow: (revision: number) => boolean): unknown {
    if (this.isOver) return ['over', this.engine.state()]
    const age = this.#beatSentMs === null ? null : Math.min(AGE_MS_MAX, this.clock.hrtimeMs() - this.#beatSentMs)
    const { looks, revision, lookedMs } = this.#seen
    const lookedAgo = Math.min(AGE_MS_MAX, this.clock.hrtimeMs() - lookedMs)
    const shard = this.#host.hosted.get(0)?.shard
    const { logBytes: _, ...health } = shard?.health() ?? { logBytes: 0 }
    return [
      this.life,
      this.engine.state(),
      this.clock.state(),
      [age, this.membership.isWithinDeadline(), this.clock.bootMs() - this.clock.hrtimeMs() > 0],
      [looks, isNow(revision), looks.length > 0 && lookedAgo],
      shard ? [this.isServing, health] : null,
    ]
  }

  #follow(view: View): void {
    const hosted = new Set(this.#host.hosted.keys())
    // Nobody else can take it, and who would be asked first is a matter of chance.
    const plan = planOf({ view, self: this.id, hosted, unownedMs: () => Number.POSITIVE_INFINITY, knownMs: () => 0 })
    if (plan.take.length > 0 && !this.isOver) this.take(view).catch(error => this.#options.failed(error))
  }

  #ticked(): void {
    const nowMs = this.clock.hrtimeMs()
    if (this.membership.isWithinDeadline()) this.leastMs += Math.min(nowMs - this.#tickedMs, TICK_MS_MAX)
    this.#tickedMs = nowMs
  }

  #end(_: Error): void {
    this.isOver = true
    this.membership.abandon()
    this.observer.stop()
  }
}
