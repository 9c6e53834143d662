/**
 * This server's pulse, and how long it may trust itself.
 *
 * It rewrites its member record every `BEAT_MS` by a commit that checks the record it wrote before. Others may declare it dead
 * when they have seen one value for the whole `MEMBER_TTL_MS`. So it answers from memory (renewals, reads) only until its own deadline,
 * which counts from *before* the last successful beat was sent, is drift and guard shorter, and is read *after* the request was
 * received: a renewal that is answered was sent before anybody could have taken over (SAFETY P6, P8, Lemma 3).
 */
import { type Clock, type Instant, instant, most } from '../clock.ts'
import { commitKnown, decodeRecord, encodeRecord, sameBytes } from '../engine/commit.ts'
import { type Engine, EngineFatal, EngineRefusal } from '../engine/engine.ts'
import type { Random } from '../random.ts'
import { randomHex } from '../random.ts'
import type { Keys } from './keys.ts'
import type { ProcessFacts } from './processes.ts'
import type { ShardTelemetry } from './telemetry.ts'

/** Four beats in the life of a record: three may be slow before anybody suspects a death. */
export const BEAT_MS = 500
/** M. Shorter means false deaths in an election of the store, longer means a longer wait for the next owner. */
export const MEMBER_TTL_MS = 2_000
/** ρ: Linux lets a clock be slewed by up to a tenth of its rate. */
const DRIFT = 0.1
/** go: the grain of the boot clock, and the step from the check to the act. */
const GUARD_MS = 100
/** From the send of the last successful beat: 1,536 ms with the values above. */
export const OWNER_DEADLINE_MS = (MEMBER_TTL_MS * (1 - DRIFT)) / (1 + DRIFT) - GUARD_MS

/** For one answer from memory. */
const CONFIRMING_BEATS_MAX = 3

export type MemberRecord = ProcessFacts & {
  server: string
  address: string
  startedAt: number
  memberTtlMs: number
  /** It is about to stop: it gives up what it has and takes nothing. */
  isLeaving?: boolean
  /** Servers that beat and that it cannot reach: when most say so of one, that one's shards go to others (SAFETY O13). */
  unreachable?: readonly string[]
  /** Shards in whose log newer servers have written what it cannot read: they are for those who can. */
  unreadable?: readonly number[]
  beat: string
}

export type MembershipOptions = {
  engine: Engine
  clock: Clock
  random: Random
  keys: Keys
  telemetry: ShardTelemetry
  /** Name and random nonce: one start of one process (SAFETY P5). */
  server: string
  address: string
  process: ProcessFacts
  /** A beat is only for a server whose shards move (SAFETY O13). */
  isProgressing(): boolean
  /** Others that beat and cannot be reached from here. */
  unreachable?(): readonly string[]
  /** Shards that cannot be read here. */
  unreadable?(): readonly number[]
  /** The record is not ours any more, or the store is lost: the process must end. */
  fatal(error: Error): void
}

export class Membership {
  readonly #options: MembershipOptions
  readonly #startedAt: number
  #revision = 0
  #lastBeat: Instant | null = null
  #beating: Promise<boolean> | null = null
  #cancelTimer: (() => void) | null = null
  #isLeaving = false
  #isOver = false
  /** That the store takes no beats has been told: it is told once, not twice a second. */
  #isRefused = false

  constructor(options: MembershipOptions) {
    this.#options = options
    this.#startedAt = options.clock.wallMs()
  }

  get server(): string {
    return this.#options.server
  }

  /** Writes the record for the first time, and goes on beating. */
  async start(): Promise<void> {
    if (!(await this.#beat())) throw new Error('the member record of this start could not be written')
    this.#rearm()
  }

  /** Whether an answer from memory may be given to a request that has been received by now. */
  isWithinDeadline(): boolean {
    if (this.#isOver || this.#lastBeat === null) return false
    return most(this.#options.clock, this.#lastBeat) < OWNER_DEADLINE_MS
  }

  /** The same, after a fresh beat if it takes one: we were paused, and may have been taken for dead. */
  async confirm(): Promise<boolean> {
    // One that is under way may have been sent before the pause, and another may have waited out an outage. A store where the third is too old as well
    // takes longer than a beat is good for: none will ever do, and what is to be written waits behind this.
    for (let beats = 0; beats < CONFIRMING_BEATS_MAX && !this.#isOver; beats++) {
      if (this.isWithinDeadline()) return true
      if (!(await this.#beat())) return false
    }
    return this.isWithinDeadline()
  }

  /** Tells the others that this server is about to stop. */
  async announceLeaving(): Promise<void> {
    this.#isLeaving = true
    await this.announce()
  }

  /** Tells the others what this server has to say of itself now. */
  async announce(): Promise<void> {
    // What is under way may not say it. The next one does, whoever sends it.
    await this.#beating
    if (!this.#isOver) await this.#beat()
  }

  /** Stops beating and, if the record is still ours, removes it: nobody has to wait for it to lapse. */
  async leave(): Promise<void> {
    this.#cancelTimer?.()
    await this.#beating
    if (this.#isOver) return
    this.#isOver = true
    const { engine, keys, server } = this.#options
    const key = keys.member(server)
    try {
      await engine.commit({ checks: [{ key, modRevision: this.#revision }], writes: [{ key, delete: true }] })
    } catch (error) {
      // Then it lapses by itself, and the next owner waits for that.
      this.#options.telemetry.alarm({ what: 'the member record was left behind', error })
    }
  }

  /** Nothing is answered and nothing is written any more; the record is left to lapse. */
  abandon(): void {
    this.#isOver = true
    this.#cancelTimer?.()
  }

  #rearm(): void {
    this.#cancelTimer = this.#options.clock.after(BEAT_MS, () => {
      if (this.#isOver) return
      this.#rearm()
      void this.#beat()
    })
  }

  /**
   * Whether a beat got through: the one under way, for each checks what the one before it wrote; else a new one. None is sent for a server with a
   * shard that is stuck, whoever asks for it: requests of its other shards would keep that shard from everybody (SAFETY O13).
   */
  #beat(): Promise<boolean> {
    if (!this.#beating && !this.#options.isProgressing()) return Promise.resolve(false)
    this.#beating ??= this.#commitBeat()
      .catch(error => this.#failed(error))
      .finally(() => {
        this.#beating = null
      })
    return this.#beating
  }

  async #commitBeat(): Promise<boolean> {
    const { engine, clock, keys, random, server, address, process, telemetry } = this.#options
    const key = keys.member(server)
    const beat = randomHex(random, 8)
    const startedAt = this.#startedAt
    const leaving = this.#isLeaving && { isLeaving: true }
    const unreachable = this.#options.unreachable?.() ?? []
    const unreadable = this.#options.unreadable?.() ?? []
    const record = encodeRecord({
      server,
      address,
      startedAt,
      ...process,
      memberTtlMs: MEMBER_TTL_MS,
      ...leaving,
      ...(unreachable.length > 0 && { unreachable }),
      ...(unreadable.length > 0 && { unreadable }),
      beat,
    })
    // Before it is handed to the transport, and before the first of several attempts.
    const sent = instant(clock)
    const known = await commitKnown({
      engine,
      clock,
      checks: [{ key, modRevision: this.#revision }],
      writes: [{ key, value: record }],
      passedAt: sameBytes(0, record),
      onUnknown: (error, attempt) => telemetry.commitUnknown({ what: 'beat', attempt, error }),
    })
    const ms = clock.hrtimeMs() - sent.hrtimeMs
    telemetry.beat({ ms, ok: known.ok })
    if (!known.ok)
      return this.#end(new Error(`the member record of ${server} is not its own any more: it was declared dead`))
    this.#revision = known.revision
    this.#lastBeat = sent
    this.#isRefused = false
    return true
  }

  #failed(error: unknown): false {
    // Nothing was written, and our record is as it was: without a beat this server soon falls silent by itself.
    if (error instanceof EngineRefusal) {
      if (!this.#isRefused) this.#options.telemetry.alarm({ what: 'the store refuses beats', error })
      this.#isRefused = true
      return false
    }
    return this.#end(error instanceof Error ? error : new Error(String(error)))
  }

  #end(error: Error): false {
    if (this.#isOver) return false
    this.abandon()
    this.#options.fatal(
      error instanceof EngineFatal ? error : new Error(`This server must stop: ${error.message}`, { cause: error }),
    )
    return false
  }
}

/** Throws when the bytes are no member record. */
export function decodeMember(bytes: Uint8Array): MemberRecord {
  const record = decodeRecord(bytes)
  if (typeof record.server !== 'string' || typeof record.memberTtlMs !== 'number') {
    throw new SyntaxError('this is no member record')
  }
  return record as MemberRecord // written by the code above, under its own key
}
