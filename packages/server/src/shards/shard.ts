/**
 * One shard under one ownership after another: takes commands, gives each turn to the log, and lets nothing leave before it is durable.
 * Commands that arrive while a batch is in flight form the next one, so under load a turn is as large as the store is slow, and when idle
 * nothing waits for anything: there is no timer in this.
 *
 * When a batch surely was not written, all that has been decided since is void. The working state is thrown away, everyone in it is told
 * that the outcome is unknown, and the shard is taken over anew and read from its log.
 */
import { HoldfastError } from '@holdfast/protocol/errors'
import type { Clock } from '../clock.ts'
import { COMMIT_BYTES_MAX, type Engine, EngineRefusal } from '../engine/engine.ts'
import type { Command } from '../locks/model.ts'
import { type Random, randomHex } from '../random.ts'
import { AWAKE_COMMANDS_MAX, stayAwake } from './awake.ts'
import { encodeBatch, GroupText, HEADER_BYTES_MAX } from './batch.ts'
import { Arrival } from './callers.ts'
import type { Chosen } from './cleaner.ts'
import type { Feed } from './feed.ts'
import type { Keys } from './keys.ts'
import { OwnershipLost } from './log.ts'
import type { Membership } from './membership.ts'
import { handOver, type Ownership, type OwnershipOptions, raiseEpoch, takeOver } from './ownership.ts'
import type { Asking, SessionPush } from './port.ts'
import type { ShardTelemetry } from './telemetry.ts'
import { type Chunk, Turn } from './turn.ts'
import { instanceIn, openWorking, type Working } from './working.ts'

/** Room for the keys of a commit, its header, and what a carried batch may grow by. */
const BATCH_ROOM_BYTES = HEADER_BYTES_MAX + 4 * 1024
/** Entries of one batch, in bytes. */
const ENTRIES_BYTES_MAX = COMMIT_BYTES_MAX - BATCH_ROOM_BYTES
/** Commands that wait for a turn; more are told to come back. Some seconds of work at full speed. */
const QUEUE_COMMANDS_MAX = 500_000
/** A batch that is in flight for longer stops the beats of this server: it is as good as dead. An election of the store takes less. */
export const STUCK_MS = 5_000
export type ShardOptions = {
  engine: Engine
  clock: Clock
  random: Random
  keys: Keys
  telemetry: ShardTelemetry
  membership: Membership
  ownership: OwnershipOptions
  shard: number
  feed: Feed
  /** Hands a push to whoever listens for the session. */
  push(pushed: { instance: string; session: string; push: SessionPush }): void
  fatal(error: Error): void
  logBytesMin?: number
}

const unknownOutcome = () => new HoldfastError('unavailable', 'The outcome is unknown; retry with the same request id.')

export class Shard {
  readonly #options: ShardOptions
  #working: Working | null = null
  #queue: Arrival[] = []
  /** Random; with the count of batches it makes each id one that nobody else uses, at no cost for each. */
  readonly #nonce: string
  #batches = 0
  #isBusy = false
  #isClosing = false
  #isLost = false
  #sinceMs: number | null = null
  /** Decided, and not known to be durable. */
  #turning: Turn | null = null
  #idle: (() => void)[] = []
  readonly #start = () => void this.#work()

  constructor(options: ShardOptions) {
    this.#options = options
    this.#nonce = randomHex(options.random, 8)
  }

  /** Takes the shard over and reads its log. Throws `DataDirectoryInUse`. */
  async open(): Promise<void> {
    await this.#own(await takeOver(this.#options.ownership, this.#options.shard))
  }

  submit(instance: string, command: Command, asking: Asking | null): Arrival {
    const arrival = new Arrival({ instance, command, asking, onDetach: this.#onDetach })
    if (this.#isClosing || this.#isLost || this.#queue.length >= QUEUE_COMMANDS_MAX) {
      // Not before the caller has what `submit` returns.
      if (asking) this.#options.clock.afterPoll(() => arrival.fail(unknownOutcome()))
      return arrival
    }
    this.#queue.push(arrival)
    this.#schedule()
    return arrival
  }

  /** Called with every tick of the clock; what it makes due is looked at after the sockets have been read. */
  tick(): number {
    const { clock } = this.#options
    if (!this.#working) return 0
    const lateMs = this.#working.clock.tick()
    clock.afterPoll(() => this.#expire())
    return lateMs
  }

  /** Whether what is in flight has been so for a reasonable time only. */
  isProgressing(): boolean {
    return this.#sinceMs === null || this.#options.clock.hrtimeMs() - this.#sinceMs < STUCK_MS
  }

  get isServing(): boolean {
    return this.#working !== null && !this.#isClosing && !this.#isLost
  }

  health() {
    const working = this.#working
    const counts = { locks: 0, grants: 0, sessions: 0, waiters: 0 }
    for (const state of working?.states.values() ?? []) {
      counts.locks += state.locks.size
      counts.grants += state.grantCount
      counts.sessions += state.sessionCount
      counts.waiters += state.tickets.size
    }
    return {
      shard: this.#options.shard,
      epoch: working?.ownership.epoch ?? 0,
      seq: working?.log.end.seq ?? 0,
      ...counts,
      logBytes: working?.log.bytes ?? 0,
    }
  }

  /** Answers nobody any more, lets the batch in flight become durable, and gives the shard up. */
  async close(): Promise<void> {
    this.#isClosing = true
    if (this.#isBusy) await new Promise<void>(resolve => this.#idle.push(resolve))
    this.#working?.cleaner.stop()
    this.#failAll(unknownOutcome())
    this.#options.feed.end()
    if (this.#working && !this.#isLost) {
      await handOver(this.#options.ownership, this.#options.shard, this.#working.ownership)
    }
    this.#working = null
  }

  readonly #onDetach = (arrival: Arrival): void => {
    const instance = this.#working?.instances.get(arrival.instance)
    if (!instance || !arrival.wait || !instance.callers.release(arrival)) return
    this.submit(arrival.instance, { type: 'abandon', ticket: arrival.wait.ticket, by: 'service' }, null)
  }

  #schedule(): void {
    if (this.#isBusy || this.#working === null || this.#isLost) return
    this.#isBusy = true
    // What lies in the sockets now is read first, so that it is in the same turn.
    this.#options.clock.afterPoll(this.#start)
  }

  /** Never rejects. */
  async #work(): Promise<void> {
    try {
      if (this.#working && !this.#isClosing) await this.#turn(this.#working)
    } catch (error) {
      await this.#drop(error)
    }
    this.#isBusy = false
    this.#sinceMs = null
    for (const resolve of this.#idle.splice(0)) resolve()
    if (this.#isClosing) return
    this.#working?.cleaner.prepare()
    if (this.#queue.length > 0 || this.#working?.cleaner.isReady) this.#schedule()
  }

  async #turn(working: Working): Promise<void> {
    const { clock, shard, telemetry } = this.#options
    this.#sinceMs = clock.hrtimeMs()
    const carriedText = new GroupText()
    const seq = working.log.end.seq + 1
    const chosen = working.cleaner.choose(seq, carriedText, working.appendedBytes)
    const turn = this.#decide(working, seq, carriedText.bytes)
    this.#turning = turn
    if (turn.oversized) return this.#refuseOversized(turn.oversized)
    if (turn.hasEntries || chosen) await this.#commit(working, turn, { chosen, carriedText })
    // Nothing was written, so nothing has shown that we still own the shard: our own deadline must, read after all of this was received.
    else if (turn.asked > 0 && !(await this.#options.membership.confirm())) {
      for (const arrival of turn.callers()) arrival.fail(unknownOutcome())
      return
    } else if (turn.commands > 0) telemetry.turnAnswered({ shard, commands: turn.commands })
    this.#turning = null
    turn.leave(this.#options.push)
    for (const { instance, session } of turn.expired) telemetry.sessionExpired({ instance, session })
    for (const { instance, report } of turn.reports) telemetry.report({ instance, report })
    if (turn.needsEpoch) await this.#raiseEpoch(working)
  }

  #decide(working: Working, seq: number, carriedBytes: number): Turn {
    const turn = new Turn({
      moment: { now: working.clock.now(), at: this.#options.clock.wallMs() },
      seq,
      bytesMax: ENTRIES_BYTES_MAX,
      carriedBytes,
      instance: name => instanceIn(working, name),
      submit: (instance, command) => void this.submit(instance, command, null),
    })
    const queue = this.#queue
    let taken = 0
    // What the decisions themselves put into the queue is for a later turn.
    for (const count = queue.length; taken < count && !turn.isFull; ) turn.take(queue[taken++]!)
    this.#queue = taken === queue.length ? [] : queue.slice(taken)
    return turn
  }

  async #commit(
    working: Working,
    turn: Turn,
    { chosen, carriedText }: { chosen: Chosen | null; carriedText: GroupText },
  ): Promise<void> {
    const { clock, feed, shard, telemetry } = this.#options
    let cleaned = chosen
    let appendedBytes = 0
    for (const chunk of turn.chunks) {
      const startedMs = clock.hrtimeMs()
      const bytes = this.#encode(working, turn, chunk, cleaned ? carriedText : new GroupText())
      const sleep = turn.commands <= AWAKE_COMMANDS_MAX ? stayAwake(clock) : null
      await working.log.append(bytes, working.ownership, cleaned)
      sleep?.()
      const ownBytes = bytes.length - (cleaned ? carriedText.bytes : 0)
      appendedBytes += ownBytes
      if (chunk.entries > 0) working.cleaner.appended(ownBytes)
      if (cleaned) {
        working.cleaner.committed(cleaned)
        telemetry.cleaned({ shard, batches: cleaned.batches, carried: cleaned.carriedEntries })
      }
      cleaned = null
      const ms = clock.hrtimeMs() - startedMs
      telemetry.batchCommitted({ shard, commands: turn.commands, entries: chunk.entries, bytes: bytes.length, ms })
    }
    working.appendedBytes = appendedBytes
    for (const chunk of turn.chunks) feed.publish({ seq: chunk.seq, at: turn.moment.at }, chunk.written)
    for (const { written } of turn.chunks) telemetry.happened({ written, at: turn.moment.at })
  }

  #encode(working: Working, turn: Turn, chunk: Chunk, carried: GroupText): Buffer {
    const { end } = working.log
    return encodeBatch(
      {
        id: `${this.#nonce}-${++this.#batches}`,
        seq: chunk.seq,
        epoch: working.ownership.epoch,
        prev: end.hash,
        now: turn.moment.now,
        at: turn.moment.at,
        live: working.cleaner.liveBytes,
      },
      { carried, entries: chunk.text },
    )
  }

  /** One command made more than a batch holds: surely not written, and it never will be; the state that it was applied to is void. */
  async #refuseOversized(arrival: Arrival): Promise<void> {
    const { command } = arrival
    const text = `one command (${command.type}) would change more than one batch of the log can hold`
    this.#options.telemetry.alarm({ what: text, error: null })
    arrival.fail(
      new HoldfastError('quota_exceeded', `This command is too large: ${text}.`, {
        details: { limit: 'batch_bytes', max: ENTRIES_BYTES_MAX },
      }),
    )
    await this.#drop(new EngineRefusal('too_large', text))
  }

  async #raiseEpoch(working: Working): Promise<void> {
    const { shard, ownership } = this.#options
    const raised = await raiseEpoch(ownership, shard, working.ownership)
    if (!raised) throw new OwnershipLost(shard, [])
    working.ownership = raised
    for (const state of working.states.values()) state.epoch = raised.epoch
  }

  /** The working state is void. Takes the shard again, if it can be had. */
  async #drop(error: unknown): Promise<void> {
    const { shard, telemetry, fatal, feed } = this.#options
    const working = this.#working
    this.#working = null
    working?.cleaner.stop()
    telemetry.dropped({ shard, reason: error instanceof Error ? error.name : 'unknown', error })
    if (working) for (const instance of working.instances.values()) instance.callers.failAll(unknownOutcome())
    for (const arrival of this.#turning?.callers() ?? []) arrival.fail(unknownOutcome())
    this.#turning = null
    feed.end()
    const isExpected = error instanceof OwnershipLost || error instanceof EngineRefusal
    // A bug would come again with the same command: better no server than one that guesses.
    if (!isExpected || this.#isClosing) return this.#lose(error, fatal)
    try {
      // Refused: nothing was written, and we still own it.
      const isRefused = error instanceof EngineRefusal && working !== null
      await this.#own(isRefused ? working.ownership : await takeOver(this.#options.ownership, shard))
    } catch (again) {
      this.#lose(again, fatal)
    }
  }

  #lose(error: unknown, fatal: (error: Error) => void): void {
    this.#isLost = true
    this.#failAll(unknownOutcome())
    fatal(error instanceof Error ? error : new Error(String(error)))
  }

  async #own(ownership: Ownership): Promise<void> {
    const { shard, telemetry } = this.#options
    const working = await openWorking(this.#options, ownership, () => this.#schedule())
    this.#working = working
    for (const name of working.states.keys()) this.#restart(working, name)
    telemetry.recovered({ shard, ...working.recovered })
    working.cleaner.prepare()
    if (this.#queue.length > 0) this.#schedule()
  }

  #restart(working: Working, name: string): void {
    const instance = instanceIn(working, name)
    instance.timers.restart(working.clock.now())
    for (const lock of instance.state.locks.values()) {
      if (lock.queue.length > 0) this.submit(name, { type: 'pump', lock: lock.name, by: 'service' }, null)
    }
  }

  #expire(): void {
    const working = this.#working
    if (!working || this.#isClosing) return
    const moment = { now: working.clock.now(), at: this.#options.clock.wallMs() }
    for (const { name, callers, timers } of working.instances.values()) {
      timers.due(
        moment,
        session => callers.isKept(session),
        command => void this.submit(name, command, null),
      )
    }
  }

  #failAll(error: HoldfastError): void {
    for (const arrival of this.#queue.splice(0)) arrival.fail(error)
    for (const { callers } of this.#working?.instances.values() ?? []) callers.failAll(error)
  }
}
