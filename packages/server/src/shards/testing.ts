/** For the tests of this room: time that passes only when told to, a store that can be held, and a server on both. */
import assert from 'node:assert/strict'
import type { HoldfastError } from '@holdfast/protocol/errors'
import type { Clock } from '../clock.ts'
import { type CommitResult, type Engine, EngineRefusal, type Write } from '../engine/engine.ts'
import { openMemory } from '../engine/memory/memory.ts'
import { MemoryStore } from '../engine/memory/store.ts'
import { encodeEntry } from '../locks/encoding.ts'
import type { Command, Reply } from '../locks/model.ts'
import type { OpenArchive } from './archive.ts'
import { type Batch, decodeBatch, encodeBatch, GroupText, hashBatch } from './batch.ts'
import { keysUnder } from './keys.ts'
import type { Answer, Asking, Logged } from './port.ts'
import type { Processes } from './processes.ts'
import { type OpenedShards, openShards, type ShardsConfig } from './shards.ts'
import { type ShardTelemetry, silentTelemetry } from './telemetry.ts'
import { type Terms, type TermsOf, withoutTerms } from './terms.ts'

/** More than any chain of promises in this room is long. */
const MICROTASKS = 100

export class FakeClock implements Clock {
  #hrtimeMs = 1_000
  #bootMs = 5_000
  #wallMs = Date.UTC(2030, 0, 1)
  #timers: { dueMs: number; callback: () => void }[] = []
  #polls: (() => void)[] = []

  hrtimeMs(): number {
    return this.#hrtimeMs
  }
  bootMs(): number {
    return this.#bootMs
  }
  wallMs(): number {
    return this.#wallMs
  }
  after(delayMs: number, callback: () => void): () => void {
    const timer = { dueMs: this.#hrtimeMs + delayMs, callback }
    this.#timers.push(timer)
    return () => {
      this.#timers = this.#timers.filter(other => other !== timer)
    }
  }
  afterPoll(callback: () => void): void {
    this.#polls.push(callback)
  }

  /** Time goes by as it does in a process that runs. */
  async pass(ms: number): Promise<void> {
    const untilMs = this.#hrtimeMs + ms
    await this.settle()
    for (;;) {
      const next = this.#timers.reduce((one, other) => Math.min(one, other.dueMs), Number.POSITIVE_INFINITY)
      if (next > untilMs) break
      this.pause(Math.max(0, next - this.#hrtimeMs))
      await this.runTimers()
    }
    this.pause(untilMs - this.#hrtimeMs)
    await this.settle()
  }

  /** Time goes by, and nothing runs: the process is stopped. */
  pause(ms: number): void {
    this.#hrtimeMs += ms
    this.#bootMs += ms
    this.#wallMs += ms
  }

  /** Somebody sets the wall clock. */
  set(byMs: number): void {
    this.#wallMs += byMs
  }

  /** Time goes by that the monotonic clock does not count: the machine is suspended. */
  suspend(ms: number): void {
    this.#bootMs += ms
    this.#wallMs += ms
  }

  /** Due timers, as Node runs them after a pause: before the sockets are read. `read` is what lies in the sockets. */
  async runTimers(read: () => void = () => undefined): Promise<void> {
    const due = this.#timers.filter(timer => timer.dueMs <= this.#hrtimeMs)
    this.#timers = this.#timers.filter(timer => timer.dueMs > this.#hrtimeMs)
    for (const { callback } of due) callback()
    read()
    await this.settle()
  }

  /** Whether something waits for the next poll. */
  get isBusy(): boolean {
    return this.#polls.length > 0
  }

  /** Everything that needs no time happens. */
  async settle(): Promise<void> {
    for (let isBusy = true; isBusy; ) {
      for (let task = 0; task < MICROTASKS; task++) await null
      isBusy = this.#polls.length > 0
      for (const callback of this.#polls.splice(0)) callback()
    }
  }
}

type Request = Parameters<Engine['commit']>[0]

/** A store whose commits can be held, lost, or seen. */
export class TestEngine implements Engine {
  readonly name = 'memory'
  readonly inner
  readonly store: MemoryStore
  /** Every request, in the order in which it was made, repeats too. */
  readonly requests: Request[] = []
  /** What becomes of the next commits that match. */
  fate: (request: Request) => 'pass' | 'lose_reply' | 'lose' | 'refuse' = () => 'pass'
  #held: ((request: Request) => boolean) | null = null
  #isDead = false
  #waiting: (() => void)[] = []

  constructor(store = new MemoryStore()) {
    this.store = store
    this.inner = openMemory({ store })
  }

  /** Commits that match wait until they are let go. */
  hold(matches: (request: Request) => boolean): void {
    this.#held = matches
  }
  letGo(): void {
    this.#held = null
    for (const go of this.#waiting.splice(0)) go()
  }

  /** The process that used it has been killed: nothing of it reaches the store, or hears from it, any more. */
  kill(): void {
    this.#isDead = true
  }

  async commit(request: Request): Promise<CommitResult> {
    if (this.#isDead) await new Promise<never>(() => undefined)
    this.requests.push(request)
    if (this.#held?.(request)) await new Promise<void>(resolve => this.#waiting.push(resolve))
    const fate = this.fate(request)
    if (fate === 'lose') throw new Error('lost before')
    if (fate === 'refuse') throw new EngineRefusal('storage_full', 'full')
    const result = await this.inner.commit(request)
    if (fate === 'lose_reply') throw new Error('reply lost')
    return result
  }
  read: Engine['read'] = key => this.inner.read(key)
  list: Engine['list'] = options => this.inner.list(options)
  watch: Engine['watch'] = options => this.inner.watch(options)
  size: Engine['size'] = () => this.inner.size()
  async close(): Promise<void> {}
}

export const keys = keysUnder('test')
export const isAppend = ({ writes }: Request) =>
  writes.some(write => 'value' in write && write.key.includes('/log/') && !write.key.endsWith('0000'))
export const isBeat = ({ writes }: Request) => writes.some(write => 'value' in write && write.key.includes('/members/'))

export function appended({ writes }: { writes: Write[] }): Uint8Array | null {
  for (const write of writes) if ('value' in write && write.key.includes('/log/')) return write.value
  return null
}

/** All batches that the store holds. */
export function batchesIn(store: MemoryStore): Batch[] {
  return store.list({ prefix: keys.log(0), limit: 10_000 }).pairs.map(pair => decodeBatch(pair.value))
}

/** Draws the same numbers each time. */
export function countingRandom(seed: number) {
  let count = seed * 1_000_003
  const next = () => {
    count = (count * 1_103_515_245 + 12_345) & 0x7fffffff
    return count >>> 16
  }
  return { bytes: (length: number) => Uint8Array.from({ length }, next) }
}

/** Another start on the same store, after the one before was killed. */
export async function restart(world: World, options: Parameters<typeof startServer>[0] = {}): Promise<World> {
  world.engine.kill()
  return startServer({ clock: world.clock, engine: new TestEngine(world.engine.store), ...options })
}

function encode({ carried, entries, ...header }: Batch): Buffer {
  const groups = { carried: new GroupText(), entries: new GroupText() }
  for (const [name, ...group] of carried) for (const entry of group) groups.carried.add(name, encodeEntry(entry))
  for (const [name, ...group] of entries) for (const entry of group) groups.entries.add(name, encodeEntry(entry))
  return encodeBatch(header, groups)
}

/** Adds a batch as if an owner had written it. */
export function forge(store: MemoryStore, change: (batch: Batch) => Batch): void {
  const last = store.list({ prefix: keys.log(0), limit: 10_000 }).pairs.at(-1)!
  const before = decodeBatch(last.value)
  const next = { ...before, id: 'forged', seq: before.seq + 1, prev: hashBatch(last.value), carried: [], entries: [] }
  const batch = change(next)
  store.commit({ checks: [], writes: [{ key: keys.batch(0, batch.seq), value: encode(batch) }] })
}

export type World = { clock: FakeClock; engine: TestEngine; server: Server; fatal: Error[]; telemetry: ShardTelemetry }
let seeds = 0

/** Nothing is known of other processes: whoever was killed is waited for. */
export const strangers: Processes = {
  own: () => ({ pid: 1, bootId: null, pidNamespace: null, processStart: null }),
  stateOf: () => 'unknown',
}

export async function startServer(
  options: {
    clock?: FakeClock
    engine?: TestEngine
    processes?: Processes
    telemetry?: Partial<ShardTelemetry>
    config?: Partial<ShardsConfig>
    archive?: OpenArchive
    termsOf?: TermsOf
    logged?: (batch: Logged) => void
    inTurn?: (act: () => void) => void
  } = {},
): Promise<World> {
  const clock = options.clock ?? new FakeClock()
  const engine = options.engine ?? new TestEngine()
  const fatal: Error[] = []
  const telemetry = { ...silentTelemetry, ...options.telemetry }
  const opening = openShards({
    engine,
    clock,
    random: countingRandom(++seeds),
    telemetry,
    termsOf: options.termsOf ?? withoutTerms,
    ...(options.archive && { archive: options.archive }),
    ...(options.logged && { logged: options.logged }),
    ...(options.inTurn && { inTurn: options.inTurn }),
    config: {
      root: 'test',
      name: 'server',
      address: 'nowhere',
      shards: 1,
      processes: options.processes ?? strangers,
      fatal: error => fatal.push(error),
      ...options.config,
    },
  })
  let isDone = false
  const done = () => {
    isDone = true
  }
  opening.then(done, done)
  for (let step = 0; !isDone && step < 1_000; step++) await clock.pass(10)
  return { clock, engine, server: new Server(await opening, clock), fatal, telemetry }
}

export type Heard = {
  answer: Answer | null
  failed: HoldfastError | null
  ticket: number | null
  answers: number
  detach(): void
}

/** Of all servers of a test: sessions are asked through any. */
let requests = 1_000

/** A server that has been asked, and what came of it. */
export class Server {
  readonly shards: OpenedShards
  readonly #clock: { settle(): Promise<void> }

  constructor(shards: OpenedShards, clock: { settle(): Promise<void> }) {
    this.shards = shards
    this.#clock = clock
  }

  /** Asks, without waiting. */
  tell(command: Command, options: Partial<Asking> & { instance?: string } = {}): Heard {
    const heard: Heard = { answer: null, failed: null, ticket: null, answers: 0, detach: () => undefined }
    const submitted = this.shards.submit(options.instance ?? 'main', command, {
      answer: answer => {
        heard.answers++
        heard.answer = answer
      },
      fail: error => {
        heard.answers++
        heard.failed = error
      },
      queued: ({ ticket }) => {
        heard.ticket = ticket
      },
      ...(options.keepsSessionAlive ? { keepsSessionAlive: true } : {}),
    })
    heard.detach = () => submitted.detach()
    return heard
  }

  async ask(command: Command, options: { instance?: string } = {}): Promise<Answer> {
    const heard = this.tell(command, options)
    await this.#clock.settle()
    assert.equal(heard.failed, null)
    assert.ok(heard.answer, `${command.type} was not answered`)
    return heard.answer
  }

  async session(ttlMs = 10_000, instance = 'main'): Promise<string> {
    const reply = await this.ask({ type: 'open_session', by: 'test', ttlMs, labels: null }, { instance })
    assert.ok(reply.ok && reply.type === 'session')
    return reply.session.id
  }

  acquire(session: string, lock: string, options: { waitMs?: number | null; request?: number } = {}): Command {
    return acquireOf(session, lock, { request: ++requests, ...options })
  }

  async grant(session: string, lock: string, instance = 'main'): Promise<number> {
    return tokenOf(await this.ask(this.acquire(session, lock), { instance }))
  }

  release(session: string, lock: string, token: number): Command {
    return { type: 'release', by: 'test', session, grants: [{ lock, token }], request: ++requests }
  }

  renew(session: string): Command {
    return { type: 'renew', by: 'test', session }
  }

  async isHeld(lock: string, instance = 'main'): Promise<boolean> {
    const reply = await this.ask({ type: 'show', by: 'test', lock }, { instance })
    return reply.ok && reply.type === 'lock' && reply.lock.grants.length > 0
  }

  async isAlive(session: string): Promise<boolean> {
    return (await this.ask({ type: 'show_session', by: 'test', session })).ok
  }
}

export function acquireOf(
  session: string,
  lock: string,
  options: { waitMs?: number | null; request: number },
): Command {
  return {
    type: 'acquire',
    by: 'test',
    session,
    claims: [{ lock, mode: 'exclusive', permits: 1, limit: 0, maxHoldMs: null, lockDelayMs: null }],
    waitMs: options.waitMs ?? (options.waitMs === null ? null : 0),
    priority: 0,
    preempt: 'never',
    isReentrant: false,
    task: '',
    request: options.request,
    labels: null,
    metadata: null,
    value: null,
  }
}

export function tokenOf(reply: Reply | null): number {
  assert.ok(reply?.ok === true && reply.type === 'granted', `not granted: ${JSON.stringify(reply)}`)
  return reply.grants[0]!.token
}

/** On which everything goes; a test says what does not. */
export const freeTerms: Terms = {
  isEnabled: true,
  operationsPerSecond: null,
  burstOperations: null,
  heldLocks: null,
  sessions: null,
  waiters: null,
  watches: null,
  storedBytes: null,
}
