/**
 * One shard under one ownership after another: takes commands, gives each turn to the log, and lets nothing leave before it is durable.
 * Commands that arrive while a batch is in flight form the next one, so under load a turn is as large as the store is slow, and when idle
 * nothing waits for anything: there is no timer in this. They are decided as they arrive, so that the next batch is ready when the one before
 * it is durable (decision 0013).
 *
 * When a batch surely was not written, all that has been decided since is void. The working state is thrown away, everyone in it is told
 * that the outcome is unknown, and the shard is taken over anew and read from its log.
 */
import { COMMIT_BYTES_MAX, EngineRefusal } from '../engine/engine.ts'
import type { Command } from '../locks/model.ts'
import { type Random, randomHex } from '../random.ts'
import { Admission } from './admission.ts'
import type { Gate } from './archive.ts'
import { GroupText, HEADER_BYTES_MAX } from './batch.ts'
import { raise, sealAnew } from './between-turns.ts'
import { Arrival, isUnnamed, NotTaken, refuseTooLarge, unknownOutcome } from './callers.ts'
import { commitTurn, publishTurn } from './committing.ts'
import { Lanes } from './lanes.ts'
import { moveOn } from './leaving.ts'
import { OwnershipLost } from './log.ts'
import { handOver, type Ownership, type OwnershipOptions, stillOwned } from './ownership.ts'
import type { Asking, Logged, SessionPush, TenantCounts } from './port.ts'
import { Refusals } from './refusals.ts'
import type { TermsOf } from './terms.ts'
import type { Timers } from './timers.ts'
import { lastBatchOf, type OpenTurn, Turn } from './turn.ts'
import {
  countsOf,
  giveBackResting,
  instanceIn,
  lastNumberIn,
  momentOf,
  openWorking,
  tenantsOf,
  type Working,
  type WorkingOptions,
} from './working.ts'

/** Room for the keys of a commit, its header, and what a carried batch may grow by. */
const BATCH_ROOM_BYTES = HEADER_BYTES_MAX + 4 * 1024
/** Entries of one batch, in bytes. */
const ENTRIES_BYTES_MAX = COMMIT_BYTES_MAX - BATCH_ROOM_BYTES
/** Commands that wait for a turn; more are told to come back. Some seconds of work at full speed. */
export const QUEUE_COMMANDS_MAX = 500_000
/** A batch that is in flight for longer stops the beats of this server: it is as good as dead. An election of the store takes less. */
export const STUCK_MS = 5_000
export type ShardOptions = WorkingOptions & {
  random: Random
  ownership: OwnershipOptions
  termsOf: TermsOf
  gate?: Gate
  /** Hears of each batch that becomes durable, in order; must not throw. */
  logged?(batch: Logged): void
  inTurn?(act: () => void): void
  /** Takes the shard again when it was lost; null: it is somebody else's now. */
  retake(): Promise<Ownership | null>
  /** It was lost and will not be had again. */
  lost(): void
  /** Hands a push to whoever listens for the session. */
  push(pushed: { instance: string; session: string; push: SessionPush }): void
  fatal(error: Error): void
}

export class Shard {
  readonly #options: ShardOptions
  #working: Working | null = null
  readonly #queue = new Lanes()
  readonly #admission: Admission
  readonly #refusals: Refusals
  /** Random; with the count of batches it makes each id one that nobody else uses, at no cost for each. */
  readonly #nonce: string
  #batches = 0
  /** Turns are being committed, one after another. */
  #isBusy = false
  #isScheduled = false
  #isLeaving = false
  #isClosing = false
  #isLost = false
  /** When the batch in flight was sent, or what is written between two. */
  #sinceMs: number | null = null
  /** Takes commands while the one before it is in flight. */
  #open: OpenTurn | null = null
  /** Deciding has failed, which is a bug: told when what is in flight has been settled. */
  #failure: unknown = null
  /** Decided and closed, and not known to be durable. */
  #flying: OpenTurn | null = null
  #idle: (() => void)[] = []
  /** How often the key of the store has changed since our own records were last written under it. */
  #sealsDue = 0
  readonly #start = () => this.#advance()

  constructor(options: ShardOptions) {
    this.#options = options
    this.#admission = new Admission(options.termsOf)
    this.#refusals = new Refusals(options.clock)
    this.#nonce = randomHex(options.random, 8)
  }

  /** Reads the log that has just been taken over; or once more under the same ownership, beyond `numbersFrom`. */
  async open(ownership: Ownership, numbersFrom = 0): Promise<void> {
    const { shard, telemetry } = this.#options
    const working = await openWorking({ ...this.#options, archived: () => this.#schedule(), numbersFrom }, ownership)
    this.#working = working
    for (const name of working.states.keys()) this.#restart(working, name)
    telemetry.recovered({ shard, ...working.recovered })
    if (this.#queue.length > 0 || this.#sealsDue > 0 || working.cleaner.isReady) this.#schedule()
  }

  submit(instance: string, command: Command, asking: Asking | null): Arrival {
    const arrival = new Arrival({ instance, command, asking, onDetach: this.#onDetach })
    const isFull = asking !== null && this.#queue.length >= QUEUE_COMMANDS_MAX
    const isTooLate = this.#isClosing || (this.#isLeaving && asking && command.type !== 'abandon')
    if (isTooLate || this.#isLost || isFull) {
      // Not before the caller has what `submit` returns.
      if (asking) this.#options.clock.afterPoll(() => arrival.fail(new NotTaken()))
      return arrival
    }
    // What time asks for is always taken.
    const { clock, gate } = this.#options
    const refusal = asking && (gate?.(command) ?? this.#admission.refusal(instance, command, clock.hrtimeMs()))
    if (refusal) return this.#refusals.tell(arrival, refusal)
    this.#queue.push(arrival)
    this.#schedule()
    return arrival
  }

  /** Called with every tick of the clock; what it makes due is looked at when what lay in the sockets has been handled. */
  tick(): number {
    const { clock, inTurn = act => act() } = this.#options
    if (!this.#working) return 0
    const lateMs = this.#working.clock.tick()
    clock.afterPoll(() => inTurn(() => this.#expire()))
    return lateMs
  }

  /** Soon, between two turns: our own records are written once more, under the key that the store has now. */
  sealAnew(): void {
    this.#sealsDue++
    this.#schedule()
  }

  /** Whether what is in flight has been so for a reasonable time only. */
  isProgressing(): boolean {
    return this.#sinceMs === null || this.#options.clock.hrtimeMs() - this.#sinceMs < STUCK_MS
  }

  get isServing(): boolean {
    return this.#working !== null && !this.#isClosing && !this.#isLost
  }

  health() {
    return { shard: this.#options.shard, isServing: this.isServing, ...countsOf(this.#working) }
  }

  tenants(): TenantCounts[] {
    return tenantsOf(this.#working)
  }

  /** Answers nobody any more, lets the batch in flight become durable, and gives the shard up. */
  async close(): Promise<void> {
    this.#isLeaving = true
    for (const arrival of this.#queue.takeIf(isUnnamed)) arrival.fail(new NotTaken())
    if (this.#working) await moveOn(this.#working.instances.values(), (...asked) => this.submit(...asked))
    this.#isClosing = true
    if (this.#isBusy) await new Promise<void>(resolve => this.#idle.push(resolve))
    this.#working?.cleaner.stop()
    this.#failTurns()
    this.#failAll()
    this.#options.feed.end()
    if (this.#working && !this.#isLost) {
      await handOver(this.#options.ownership, this.#options.shard, this.#working.ownership)
    }
    this.#working = null
  }

  readonly #onDetach = (arrival: Arrival): void => {
    const instance = this.#working?.instances.get(arrival.instance)
    if (!instance || !arrival.wait || !instance.callers.release(arrival)) return
    const { ticket } = arrival.wait
    this.submit(arrival.instance, { type: 'abandon', ticket, isOfGone: true, by: 'service' }, null)
  }

  #schedule(): void {
    if (this.#isScheduled || this.#working === null || this.#isLost) return
    this.#isScheduled = true
    // What lies in the sockets now is read first, so that it is in the same turn.
    this.#options.clock.afterPoll(this.#start)
  }

  #advance(): void {
    this.#isScheduled = false
    const working = this.#working
    if (!working || this.#isClosing || this.#isLost) return
    try {
      this.#takeQueue(working)
    } catch (error) {
      // Whatever is in flight is settled first: what it has made durable is answered.
      this.#failure = error
    }
    if (!this.#isBusy) void this.#work(working)
  }

  /**
   * Decides what has arrived, into the turn that is open; opens one if need be. While a batch is in flight this goes on: what is decided
   * rests on that batch, and neither leaves nor is written before it is known to be durable; if it fails, all of it is void (SAFETY P2, P3).
   */
  #takeQueue(working: Working): void {
    const queue = this.#queue
    if (queue.length === 0) return
    this.#open ??= this.#openTurn(working)
    const { turn } = this.#open
    // Read after all of these were received: a session's time counts from its client's sending (SAFETY P8).
    turn.moment = momentOf(working, this.#options.clock)
    turn.decidedMs = this.#options.clock.hrtimeMs()
    // What decisions themselves put into the queue is for a later turn.
    queue.drain(
      arrival => turn.take(arrival),
      () => turn.isFull,
    )
  }

  #openTurn(working: Working): OpenTurn {
    const before = this.#flying
    const seq = (before && lastBatchOf(before)) ?? working.log.end.seq
    const carriedText = new GroupText()
    // One cleaning at a time: the next begins where this one will have ended.
    const chosen = before?.chosen ? null : working.cleaner.choose(seq + 1, carriedText, working.appendedBytes)
    const turn = new Turn({
      moment: momentOf(working, this.#options.clock),
      seq: seq + 1,
      bytesMax: ENTRIES_BYTES_MAX,
      carriedBytes: carriedText.bytes,
      instance: name => instanceIn(working, name),
      termsOf: this.#options.termsOf,
      submit: (instance, command) => void this.submit(instance, command, null),
    })
    return { turn, chosen, carriedText }
  }

  /** Commits one turn after another while there are any. Never rejects. */
  async #work(working: Working): Promise<void> {
    this.#isBusy = true
    try {
      await this.#commitTurns(working)
    } catch (error) {
      await this.#drop(error)
    }
    this.#isBusy = false
    this.#sinceMs = null
    for (const resolve of this.#idle.splice(0)) resolve()
    if (this.#isClosing) return
    if (this.#queue.length > 0 || this.#sealsDue > 0 || this.#working?.cleaner.isReady) this.#schedule()
  }

  async #commitTurns(working: Working): Promise<void> {
    for (let before: Turn | null = null; ; ) {
      if (before?.needsEpoch || this.#sealsDue > 0) before = await this.#betweenTurns(working, before)
      const isOver = this.#isClosing || this.#failure !== null
      this.#flying = isOver ? null : this.#takeOpen(working)
      const written = this.#flying && this.#write(working, this.#flying)
      // While the disk is busy with the next.
      if (before) this.#leave(before)
      if (this.#failure !== null) throw this.#failure
      if (!written || !this.#flying) return
      if (this.#queue.length > 0) this.#schedule()
      before = (await written) ? this.#flying.turn : null
      this.#flying = null
    }
  }

  /** The open turn, closed; or one that only cleans. */
  #takeOpen(working: Working): OpenTurn | null {
    const open = this.#open
    this.#open = null
    if (open || !working.cleaner.isReady) return open
    const cleaning = this.#openTurn(working)
    return cleaning.chosen ? cleaning : null
  }

  /** Returns whether the turn may be answered. */
  async #write(working: Working, open: OpenTurn): Promise<boolean> {
    const { turn } = open
    const { clock, membership } = this.#options
    if (turn.oversized) throw refuseTooLarge(turn.oversized, { ...this.#options, bytesMax: ENTRIES_BYTES_MAX })
    if (lastBatchOf(open) !== null) {
      this.#sinceMs = clock.hrtimeMs()
      await commitTurn({ ...this.#options, working, open, batchId: () => `${this.#nonce}-${++this.#batches}` })
      return true
    }
    // Waiting for a beat is no reason to send none.
    this.#sinceMs = null
    // Nothing was written, so nothing has shown that we still own the shard: our own deadline must, read after all of this was received.
    if (turn.asked > 0 && !(await membership.confirm())) {
      for (const arrival of turn.callers()) arrival.fail(unknownOutcome())
      return false
    }
    return true
  }

  /** Everything that rests on the turn leaves, and is published before anybody can ask for it. */
  #leave(turn: Turn): void {
    const { push, shard, telemetry } = this.#options
    turn.leave(push)
    publishTurn(this.#options, turn)
    telemetry.turnAnswered({ shard, epoch: this.#working?.ownership.epoch ?? 0, ...turn.facts })
    for (const { instance, session } of turn.expired) telemetry.sessionExpired({ instance, session })
    for (const { instance, report } of turn.reports) telemetry.report({ instance, report })
  }

  async #betweenTurns(working: Working, before: Turn | null): Promise<null> {
    const { shard, ownership, membership, clock } = this.#options
    if (before) this.#leave(before)
    this.#sinceMs = clock.hrtimeMs()
    if (before?.needsEpoch) await raise(ownership, shard, working)
    const due = this.#sealsDue
    if (due > 0) await sealAnew(membership.server, working)
    this.#sealsDue -= due
    return null
  }

  /** The working state is void. Takes the shard again, if it can be had. */
  async #drop(error: unknown): Promise<void> {
    const { shard, telemetry, feed } = this.#options
    const working = this.#working
    this.#working = null
    // Nothing is in flight any more. Reading a long log is no reason to send no beats.
    this.#sinceMs = null
    working?.cleaner.stop()
    telemetry.dropped({ shard, reason: error instanceof Error ? error.name : 'unknown', error })
    if (working) for (const instance of working.instances.values()) instance.callers.failAll(unknownOutcome())
    this.#failTurns()
    feed.end()
    const isExpected = error instanceof OwnershipLost || error instanceof EngineRefusal
    // A bug would come again with the same command: better no server than one that guesses.
    if (!isExpected) return this.#lose(error)
    if (this.#isClosing) return this.#end()
    try {
      // Refused: nothing was written, and we still own it.
      const isRefused = error instanceof EngineRefusal && working !== null
      const ownership = isRefused ? stillOwned(working.ownership, working.log.end) : await this.#options.retake()
      if (ownership) await this.open(ownership, isRefused ? lastNumberIn(working) : 0)
      else this.#end()
    } catch (again) {
      return again instanceof OwnershipLost ? this.#end() : this.#lose(again)
    }
  }

  #end(): void {
    this.#isLost = true
    this.#failAll()
    this.#options.lost()
  }

  #lose(error: unknown): void {
    this.#isLost = true
    this.#failAll()
    this.#options.fatal(error instanceof Error ? error : new Error(String(error)))
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
    const { clock } = this.#options
    const nowMs = working.clock.now()
    const at = clock.wallMs()
    const submitFor =
      ({ instance }: Timers) =>
      (command: Command) =>
        void this.submit(instance.name, command, null)
    working.agenda.take(nowMs, {
      due: (timers, slot) => timers.due(slot, nowMs, submitFor(timers)),
      frozen: timers => timers.thaw(at, submitFor(timers)),
    })
    giveBackResting(working, clock.hrtimeMs())
  }

  #failTurns(): void {
    for (const arrival of this.#flying?.turn.callers() ?? []) arrival.fail(unknownOutcome())
    // Decided, and never sent to the store; but whose wait that would have ended still stands in line, in the log.
    for (const arrival of this.#open?.turn.callers() ?? [])
      arrival.fail(arrival.isInLine ? unknownOutcome() : new NotTaken())
    this.#flying = null
    this.#open = null
  }

  #failAll(): void {
    for (const arrival of this.#queue.takeAll()) arrival.fail(new NotTaken())
    for (const { callers } of this.#working?.instances.values() ?? []) callers.failAll(unknownOutcome())
  }
}
