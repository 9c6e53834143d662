/**
 * Keeps the log short without snapshots. Most records die young, so the oldest batches hold little that is still true. What does is written
 * again at the new end, marked as carried, and then the old batches go. A tombstone at the old end has nothing left to hide and simply
 * vanishes.
 *
 * The log is not read for this. Each record in the state knows which batch wrote it, and of each batch it is known how many of its records are
 * still current: a pass goes through the state, carries every record that is older than the pass, and deletes batches from the old end as soon as
 * nothing current is left in them (decision 0014).
 *
 * What is carried is chosen in the turn that commits it, before its commands: a value chosen a batch earlier could bring back
 * what a command of that batch has ended (SAFETY O3).
 *
 * When: in passes. A pass begins when more than `LOG_BYTES_MIN`, and more than the last pass found alive, has been appended since that one
 * (what is carried not counted, so that cleaning never begets cleaning). It ends when all batches that existed at its beginning are gone;
 * what it carried is then what is alive. Decision 0011 says what bound follows.
 */
import { type Carried, carry, liveIn, recordsBefore } from '../locks/carry.ts'
import { encodeEntry } from '../locks/encoding.ts'
import type { State } from '../locks/state.ts'
import type { ShardArchive } from './archive.ts'
import type { GroupText } from './batch.ts'
import type { ShardLog } from './log.ts'

/** Below this a log is left alone: it is read in a few tens of ms. */
export const LOG_BYTES_MIN = 16 * 1024 * 1024
/** What one turn deletes or carries, at the least and at the most, in bytes: the turn of a single command must stay a quick one. */
const TURN_BYTES_MIN = 32 * 1024
const DELETED_BYTES_MAX = 1024 * 1024
/** The rest of the commit belongs to the commands. */
export const CARRIED_BYTES_MAX = 256 * 1024
/** Against what was appended last. Carrying costs, and is spread over as much as a pass has time for; deleting is quick. */
const CARRIED_SHARE = 1
const DELETED_SHARE = 3
/** Records that one turn looks at: those that are already new cost next to nothing, but a million of them would. */
const RECORDS_PER_TURN_MAX = 20_000

export type Chosen = { before: number; bytes: number; batches: number; carriedEntries: number; carriedBytes: number }

type Found = { instance: string; state: State; entry: Carried }

type Pass = {
  /** Batches below this one go. */
  end: number
  /** What is still to be looked at. */
  records: Iterator<Found>
  /** Found, and too large for the turn that found it. */
  held: Found | null
  isAllCarried: boolean
  carriedBytes: number
}

export type CleanerOptions = {
  log: ShardLog
  archive: ShardArchive
  /** The working states, by instance. */
  states: Map<string, State>
  liveBytes: number
  /** For tests: other thresholds than the default. */
  logBytesMin?: number
}

export class Cleaner {
  readonly #options: CleanerOptions
  #pass: Pass | null = null
  #liveBytes: number
  /** Since the last pass ended, without what was carried. */
  #appendedBytes: number
  #isOver = false

  constructor(options: CleanerOptions) {
    this.#options = options
    this.#liveBytes = options.liveBytes
    this.#appendedBytes = Math.max(0, options.log.bytes - options.liveBytes)
  }

  /** What the last complete pass found alive. */
  get liveBytes(): number {
    return this.#liveBytes
  }

  /** Whether a turn would clean, if it came now. */
  get isReady(): boolean {
    return this.#begin() !== null && !this.#isWaiting
  }

  /**
   * Called at the beginning of a turn: adds to `text` what must be kept of old batches. Those below `before` may be deleted with the
   * batch `seq` that these entries go into.
   */
  choose(seq: number, text: GroupText, appendedBytes: number): Chosen | null {
    const pass = this.#begin()
    if (!pass) return null
    const { firstSeq } = this.#options.log
    const budget = (share: number) => Math.max(TURN_BYTES_MIN, share * appendedBytes)
    const carriedEntries = this.#carry(pass, seq, text, Math.min(CARRIED_BYTES_MAX, budget(CARRIED_SHARE)))
    const { before, bytes } = this.#emptied(pass, Math.min(DELETED_BYTES_MAX, budget(DELETED_SHARE)))
    // It has only looked at what needs no carrying.
    if (carriedEntries === 0 && before === firstSeq) return null
    return { before, bytes, batches: before - firstSeq, carriedEntries, carriedBytes: text.bytes }
  }

  /** A batch is durable that has this many bytes besides what it carries. */
  appended(bytes: number): void {
    this.#appendedBytes += bytes
  }

  /** The batch with what was chosen is durable. */
  committed(chosen: Chosen): void {
    const pass = this.#pass
    if (!pass) return
    pass.carriedBytes += chosen.carriedBytes
    if (chosen.before < pass.end) return
    this.#pass = null
    this.#liveBytes = pass.carriedBytes
  }

  stop(): void {
    this.#isOver = true
    this.#options.archive.stop()
  }

  /** The pass under way, or one that begins now. */
  #begin(): Pass | null {
    const { log, logBytesMin = LOG_BYTES_MIN } = this.#options
    if (this.#isOver) return null
    if (this.#pass) return this.#pass
    if (this.#appendedBytes <= Math.max(logBytesMin, this.#liveBytes) || log.end.seq <= log.firstSeq) return null
    // Not the newest: the next append has to name it.
    const end = log.end.seq
    this.#pass = { end, records: this.#recordsBefore(end), held: null, isAllCarried: false, carriedBytes: 0 }
    this.#appendedBytes = 0
    this.#options.archive.want(end)
    return this.#pass
  }

  *#recordsBefore(end: number): Generator<Found> {
    for (const [instance, state] of this.#options.states) {
      for (const entry of recordsBefore(state, end)) yield { instance, state, entry }
    }
  }

  /** Returns how many records it has carried into batch `seq`. */
  #carry(pass: Pass, seq: number, text: GroupText, bytesMax: number): number {
    let entries = 0
    for (let looked = 0; looked < RECORDS_PER_TURN_MAX && !pass.isAllCarried; looked++) {
      const found = pass.held ?? this.#next(pass)
      pass.held = null
      if (!found) break
      const encoded = encodeEntry(found.entry)
      // A record that is larger than all that a turn carries goes alone.
      if (entries > 0 && text.exceeds(bytesMax, encoded.length)) {
        pass.held = found
        break
      }
      // It may have ended since the pass came to it.
      if (!carry(found.state, found.entry, { before: pass.end, seq })) continue
      text.add(found.instance, encoded)
      entries++
    }
    return entries
  }

  #next(pass: Pass): Found | null {
    const next = pass.records.next()
    if (!next.done) return next.value
    pass.isAllCarried = true
    return null
  }

  /** The oldest batches in which nothing is current any more. */
  #emptied(pass: Pass, bytesMax: number): { before: number; bytes: number } {
    const { log } = this.#options
    let before = log.firstSeq
    let bytes = 0
    for (; before < pass.end && this.#isDead(before); before++) {
      if (before >= this.#options.archive.safeBefore) return { before, bytes }
      const more = log.bytesOf(before)
      if (bytes > 0 && bytes + more > bytesMax) return { before, bytes }
      bytes += more
    }
    // A record that is counted as alive and was not found would be lost with its batch.
    if (pass.isAllCarried && before < pass.end)
      throw new Error(`batch ${before} has records that are alive and were not carried`)
    return { before, bytes }
  }

  /** All has been carried, and what could go has not been archived. */
  get #isWaiting(): boolean {
    const { archive, log } = this.#options
    return this.#pass?.isAllCarried === true && archive.safeBefore <= log.firstSeq
  }

  #isDead(seq: number): boolean {
    for (const state of this.#options.states.values()) if (liveIn(state, seq) > 0) return false
    return true
  }
}
