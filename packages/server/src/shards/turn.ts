/**
 * One turn of a shard: the commands that have arrived are decided one after another, each on the state that those before it left; all
 * their entries become one batch; and when that is durable, and not before, everything that rests on it leaves: answers, refusals,
 * reads, renewals, events, pushes (SAFETY P2). This file is the first half, up to the batch, and what leaves afterwards as data; the
 * shard commits between the two.
 */
import { waitAnswer } from '../locks/answers.ts'
import { restamp } from '../locks/carry.ts'
import { decide, type Moment } from '../locks/decide.ts'
import { encodeEntry } from '../locks/encoding.ts'
import { pushOf } from '../locks/events.ts'
import type { Command, Decision, Entry, Reply, Report } from '../locks/model.ts'
import { liveSession } from '../locks/state.ts'
import { wakeupsOf } from '../locks/wakeups.ts'
import { BYTES_PER_UNIT_MAX, GroupText } from './batch.ts'
import { type Arrival, heardBy } from './callers.ts'
import type { Chosen } from './cleaner.ts'
import type { Instance } from './instance.ts'
import type { Answer, SessionPush } from './port.ts'
import type { TermsOf } from './terms.ts'

/** A turn takes no more commands once its batch is this large: half of what a commit holds, as the last command may need the other half. */
export const BATCH_BYTES = 512 * 1024
/** Bounds how long the loop is held: some tens of ms. */
export const COMMANDS_PER_TURN_MAX = 4_096

/** The name of an instance and the punctuation of a group of entries. */
const GROUP_BYTES = 512

type Outcome = { arrival: Arrival; reply: Reply }
export type Written = { instance: string; entries: readonly Entry[] }
type Pushed = { instance: string; session: string; push: SessionPush }

/** What goes into one commit. There is a second one only after a command that is too large to go with those before it. */
export type Chunk = { seq: number; text: GroupText; written: Written[]; entries: number }

/** With what it cleans: the batches that may go with it, and what of them must be kept. */
export type OpenTurn = { turn: Turn; chosen: Chosen | null; carriedText: GroupText }

export type TurnOptions = {
  /** Of its beginning. */
  moment: Moment
  /** Of the first batch. */
  seq: number
  /** Bytes that one batch holds, its header apart. */
  bytesMax: number
  /** What the cleaner carries into the first batch, in bytes. */
  carriedBytes: number
  instance(name: string): Instance
  termsOf: TermsOf
  /** Takes a command of time into a later turn. */
  submit(instance: string, command: Command): void
}

export class Turn {
  readonly #options: TurnOptions
  readonly chunks: Chunk[]
  /** In order; to be told when all chunks are durable. */
  readonly #outcomes: Outcome[] = []
  readonly #pushes: Pushed[] = []
  readonly reports: { instance: string; report: Report }[] = []
  readonly #expired: { instance: string; session: string }[] = []
  commands = 0
  asked = 0
  /** A command has made more than fits one batch, alone: nothing of this turn can be committed. */
  oversized: Arrival | null = null
  /** An instance has nearly run out of numbers. */
  needsEpoch = false
  /** Of the commands that are taken next: never before one of them was received. The batch bears the last. */
  moment: Moment
  /** On the clock of the process, when the last of them were about to be decided. */
  decidedMs = 0
  /** A batch has been committed for it, so that it is known who owned the shard. */
  isLogged = false
  /** `of`, within what an instance may use. */
  #quoted: { of: Moment; moment: Moment }

  constructor(options: TurnOptions) {
    this.#options = options
    this.moment = options.moment
    this.#quoted = { of: this.moment, moment: this.moment }
    this.chunks = [{ seq: options.seq, text: new GroupText(), written: [], entries: 0 }]
  }

  get isFull(): boolean {
    const isLarge = this.chunks[0]!.text.exceeds(BATCH_BYTES - this.#options.carriedBytes)
    return isLarge || this.chunks.length > 1 || this.commands >= COMMANDS_PER_TURN_MAX || this.oversized !== null
  }

  get hasEntries(): boolean {
    return this.chunks.some(chunk => chunk.entries > 0)
  }

  /** For those who watch over the service: what its answers rest on. */
  get facts(): { seq: number; commands: number; asked: number; isLogged: boolean; decidedMs: number } {
    const { commands, asked, isLogged, decidedMs } = this
    return { seq: this.chunks[0]!.seq, commands, asked, isLogged, decidedMs }
  }

  get expired(): readonly { instance: string; session: string }[] {
    return this.#expired
  }

  /** Decides one command on the working state. */
  take(arrival: Arrival): void {
    if (arrival.isForsaken) return
    const { command } = arrival
    const instance = this.#options.instance(arrival.instance)
    // Who waited has gone, and has come back under the same request before that was looked at.
    if (command.type === 'abandon' && command.isOfGone && instance.callers.isHeard(command.ticket)) return
    this.commands++
    if (arrival.asking) this.asked++
    if (command.type === 'thaw' && !arrival.asking && !this.#isThawDue(instance, command.prefix)) return
    instance.state.seq = this.chunks.at(-1)!.seq
    const decision = decide(instance.state, command, this.#momentFor(arrival.instance))
    if (decision.entries.length > 0) this.#write(arrival, instance, decision.entries)
    this.#touch(instance, command, decision)
    this.#conclude(arrival, instance, decision)
    if (command.type === 'expire_session') this.#afterExpiry(instance, command.session)
    for (const follow of decision.followUps) this.#options.submit(arrival.instance, follow)
    for (const { session, ...push } of decision.pushes) this.#pushes.push({ instance: instance.name, session, push })
    for (const report of decision.reports) this.reports.push({ instance: instance.name, report })
  }

  #momentFor(instance: string): Moment {
    const terms = this.#options.termsOf(instance)
    if (terms === null || terms === 'unknown') return this.moment
    // Nearly always the one of the command before.
    if (this.#quoted.of !== this.moment || this.#quoted.moment.quota !== terms)
      this.#quoted = { of: this.moment, moment: { ...this.moment, quota: terms } }
    return this.#quoted.moment
  }

  /** Everything that rests on the turn leaves. Only when it is durable. */
  leave(push: (pushed: Pushed) => void): void {
    for (const { arrival, reply } of this.#outcomes) {
      if (reply.ok === 'queued') {
        arrival.isInLine = true
        arrival.asking?.queued?.({ ticket: reply.ticket, session: reply.session, position: reply.position })
      } else if (arrival.isForsaken) this.#giveBack(arrival, reply)
      else arrival.answer(reply)
    }
    for (const pushed of this.#pushes) push(pushed)
  }

  /** Those who asked in this turn. */
  *callers(): Generator<Arrival> {
    for (const { arrival } of this.#outcomes) yield arrival
  }

  #write(arrival: Arrival, instance: Instance, entries: Entry[]): void {
    // One text for all of them: they go into one batch, and are measured once.
    let encoded = encodeEntry(entries[0]!)
    for (let index = 1; index < entries.length; index++) encoded += `,${encodeEntry(entries[index]!)}`
    let chunk = this.chunks.at(-1)!
    const roomBytes = this.#options.bytesMax - GROUP_BYTES
    if (encoded.length * BYTES_PER_UNIT_MAX > roomBytes && Buffer.byteLength(encoded) > roomBytes) {
      this.oversized = arrival
      return
    }
    const carriedBytes = this.chunks.length === 1 ? this.#options.carriedBytes : 0
    if (chunk.text.exceeds(roomBytes - carriedBytes, encoded.length)) chunk = this.#nextChunk(instance, entries)
    chunk.text.add(instance.name, encoded)
    chunk.written.push({ instance: instance.name, entries })
    chunk.entries += entries.length
    for (const entry of entries) this.#follow(instance, entry)
    if (instance.isNearEndOfEpoch()) this.needsEpoch = true
  }

  /** The records were stamped with the batch that they no longer fit. */
  #nextChunk(instance: Instance, entries: Entry[]): Chunk {
    const chunk = { seq: this.chunks.at(-1)!.seq + 1, text: new GroupText(), written: [], entries: 0 }
    this.chunks.push(chunk)
    for (const entry of entries) restamp(instance.state, entry, chunk.seq)
    return chunk
  }

  /** What an entry sets in motion beside the log. */
  #follow(instance: Instance, entry: Entry): void {
    const { now } = this.moment
    for (const wakeup of wakeupsOf(entry)) instance.timers.add(wakeup)
    if (entry.record === 'session' && entry.value) instance.startSession(entry.session, now)
    if (entry.record === 'freeze') instance.timers.setFreeze(entry.prefix)
    const told = entry.record === 'grant' ? pushOf(entry, now) : null
    if (told) this.#pushes.push({ instance: instance.name, ...told })
  }

  /** The request proves that its session lives: its deadline is at least a TTL from now, and never moves back. */
  #touch(instance: Instance, command: Command, { touches, reply }: Decision): void {
    if (touches === null) return
    const ttlMs = 'ttlMs' in command && typeof command.ttlMs === 'number' ? command.ttlMs : null
    const deadlineMs = instance.touch(touches, this.moment.now, ttlMs)
    if (deadlineMs === null || reply.ok !== true || !('grants' in reply) || reply.type === 'ended') return
    // The views were made before the deadline was known.
    for (const grant of reply.grants ?? []) {
      if (grant.session === touches) grant.expiresInMs = Math.max(grant.expiresInMs, deadlineMs - this.moment.now)
    }
  }

  /** Answers that are known now: the command's own, and those of the waits that it ended. */
  #conclude(arrival: Arrival, instance: Instance, { reply, entries }: Decision): void {
    if (reply.ok === 'queued') {
      // A place in line is told before the end of the wait, which may come in the same decision.
      this.#outcomes.push({ arrival, reply })
      if (arrival.isDetached) this.#abandon(arrival, reply.ticket)
      else if (arrival.asking) {
        arrival.waitsSinceMs = this.moment.now
        instance.callers.attach(arrival, reply)
      }
    }
    for (const entry of entries) {
      if (entry.record === 'wait' && entry.value === null && entry.gone) this.#endWait(instance, entry)
    }
    if (reply.ok !== 'queued') this.#outcomes.push({ arrival, reply })
  }

  #endWait(instance: Instance, entry: Extract<Entry, { record: 'wait' }>): void {
    const { moment } = this
    const callers = instance.callers.take(entry.ticket)
    // Of a grant that nobody hears of nothing is promised: a client that has died would live on by what it had stood in line for.
    const isHeard = callers.some(({ isDetached }) => !isDetached)
    if (entry.gone?.grants && isHeard) instance.touch(entry.gone.waiter.session, moment.now, null)
    if (callers.length === 0) return
    const reply: Answer = waitAnswer(instance.state, entry, moment)
    for (const arrival of callers) this.#outcomes.push({ arrival, reply: heardBy(arrival, reply, moment.now) })
  }

  #abandon(arrival: Arrival, ticket: number): void {
    if (arrival.keepsSessionAlive)
      this.#options.submit(arrival.instance, { type: 'abandon', ticket, isOfGone: true, by: 'service' })
  }

  /** Of this grant nobody was told; and when its session was made for it, and no key names that, nobody can ask for it. */
  #giveBack({ instance, command }: Arrival, reply: Answer): void {
    if (!reply.ok || reply.type !== 'granted') return
    if (command.type !== 'acquire' || typeof command.session === 'string' || command.session.key) return
    const { session } = reply
    for (const { lock } of reply.grants)
      this.#options.submit(instance, { type: 'release_single', session, lock, by: 'service' })
  }

  #afterExpiry(instance: Instance, session: string): void {
    if (liveSession(instance.state, session)) instance.timers.restartSession(session)
    else this.#expired.push({ instance: instance.name, session })
  }

  /** An operator may have frozen it again since the timer looked. */
  #isThawDue(instance: Instance, prefix: string): boolean {
    instance.timers.setFreeze(prefix)
    const freeze = instance.state.freezes.get(prefix)
    return freeze !== undefined && freeze.untilAt <= this.moment.at
  }
}

/** The number of the last batch that the turn writes; null if it writes nothing. */
export function lastBatchOf({ turn, chosen }: OpenTurn): number | null {
  return turn.hasEntries || chosen ? turn.chunks.at(-1)!.seq : null
}
