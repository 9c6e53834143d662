/**
 * Keeps the log short without snapshots. Most records die young, so the oldest batches hold little that is still true. The cleaner
 * takes them from the old end: what is still the current value of its record is written again at the new end, marked as carried, and in
 * the same commit the old batches go. A tombstone at the old end has nothing left to hide and simply vanishes.
 *
 * What is carried is chosen in the turn that commits it, before its commands: a value chosen a batch earlier could bring back
 * what a command of that batch has ended (SAFETY O3).
 *
 * When: in passes. A pass begins when more than `LOG_BYTES_MIN`, and more than the last pass found alive, has been appended since that one
 * (what is carried not counted, so that cleaning never begets cleaning). It ends when all batches that existed at its beginning are gone;
 * what it carried is then what is alive. Decision 0011 says what bound follows.
 */
import type { Clock } from '../clock.ts'
import type { Engine } from '../engine/engine.ts'
import { carried, current, isCurrent, liveIn } from '../locks/carry.ts'
import { encodeEntry } from '../locks/encoding.ts'
import type { Entry } from '../locks/model.ts'
import type { State } from '../locks/state.ts'
import { type Batch, decodeBatch, type EntryGroup, type GroupText } from './batch.ts'
import type { Keys } from './keys.ts'
import type { ShardLog } from './log.ts'

/** Below this a log is left alone: it is read in a few tens of ms. */
export const LOG_BYTES_MIN = 16 * 1024 * 1024
/** Old batches that one turn takes, at the least and at the most, in bytes: the turn of a single command must stay a quick one. */
const TURN_BYTES_MIN = 32 * 1024
const TURN_BYTES_MAX = 1024 * 1024
/** What a turn has carried when it takes no further batch: the rest of the commit belongs to the commands. */
const CARRIED_BYTES = 256 * 1024
/** Against what was appended last: cleaning must be faster than writing, or a pass would never end. */
const TURN_SHARE = 3
/** Batches that are read at once, at the most and in bytes: each read is parsed in one go. */
const READ_BATCHES_MAX = 256
const READ_BYTES = 256 * 1024
/** Read ahead of the turns: as much as a turn may take. */
const AHEAD_BYTES = TURN_BYTES_MAX

type Ahead = { batch: Batch; bytes: number }
export type Chosen = { before: number; bytes: number; batches: number; carriedEntries: number; carriedBytes: number }

export type CleanerOptions = {
  engine: Engine
  clock: Clock
  keys: Keys
  shard: number
  log: ShardLog
  /** The working states, by instance. */
  states: Map<string, State>
  liveBytes: number
  /** For tests: other thresholds than the default. */
  logBytesMin?: number
  /** Something has been read: a turn could go on cleaning. */
  onReady(): void
  onError(error: unknown): void
}

export class Cleaner {
  readonly #options: CleanerOptions
  readonly #ahead: Ahead[] = []
  #aheadBytes = 0
  /** Batches below this one belong to the pass under way. */
  #passEnd: number | null = null
  #passCarriedBytes = 0
  #liveBytes: number
  /** Since the last pass ended, without what was carried. */
  #appendedBytes: number
  #isReading = false
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
    const { firstSeq } = this.#options.log
    return this.#begin() && (this.#isDead(firstSeq) || this.#ahead[0]?.batch.seq === firstSeq)
  }

  /**
   * Called at the beginning of a turn: adds to `text` what must be kept of the oldest batches. They may be deleted with the
   * batch `seq` that these entries go into.
   */
  choose(seq: number, text: GroupText, appendedBytes: number): Chosen | null {
    if (!this.isReady) return null
    const { log, states } = this.#options
    const budget = Math.min(TURN_BYTES_MAX, Math.max(TURN_BYTES_MIN, TURN_SHARE * appendedBytes))
    const chosen: Chosen = { before: log.firstSeq, bytes: 0, batches: 0, carriedEntries: 0, carriedBytes: 0 }
    const fits = (bytes: number) => chosen.bytes + bytes <= budget && text.bytes < CARRIED_BYTES
    for (let from = log.firstSeq; from < (this.#passEnd ?? 0); from++) {
      const bytes = log.bytesOf(from)
      if (chosen.batches > 0 && !fits(bytes)) break
      const batch = this.#takeAhead(from)
      // Most batches have nothing left that is true: they go without having been read.
      if (!this.#isDead(from)) {
        if (!batch) break
        for (const group of batch.carried) chosen.carriedEntries += carry(states, from, seq, group, text)
        for (const group of batch.entries) chosen.carriedEntries += carry(states, from, seq, group, text)
        this.#assertEmptied(from)
      }
      chosen.before = from + 1
      chosen.bytes += bytes
      chosen.batches++
    }
    chosen.carriedBytes = text.bytes
    return chosen.batches > 0 ? chosen : null
  }

  /** A batch is durable that has this many bytes besides what it carries. */
  appended(bytes: number): void {
    this.#appendedBytes += bytes
  }

  /** The batch with what was chosen is durable. */
  committed(chosen: Chosen): void {
    this.#passCarriedBytes += chosen.carriedBytes
    if (this.#passEnd !== null && chosen.before >= this.#passEnd) {
      this.#passEnd = null
      this.#liveBytes = this.#passCarriedBytes
    }
  }

  #takeAhead(seq: number): Batch | null {
    while (this.#ahead.length > 0 && this.#ahead[0]!.batch.seq <= seq) {
      const { batch, bytes } = this.#ahead.shift()!
      this.#aheadBytes -= bytes
      if (batch.seq === seq) return batch
    }
    return null
  }

  #isDead(seq: number): boolean {
    for (const state of this.#options.states.values()) if (liveIn(state, seq) > 0) return false
    return true
  }

  /** A record that is counted as alive and was not found would be lost with its batch. */
  #assertEmptied(seq: number): void {
    if (!this.#isDead(seq)) throw new Error(`batch ${seq} has records that are alive and were not carried`)
  }

  /** Nothing of the pass lies beyond what has been read. */
  get #isReadToEnd(): boolean {
    return this.#passEnd !== null && this.#lastRead >= this.#passEnd - 1
  }

  get #lastRead(): number {
    return this.#ahead.at(-1)?.batch.seq ?? this.#options.log.firstSeq - 1
  }

  /** Starts reading ahead if there is need to. */
  prepare(): void {
    const isEnough = this.#aheadBytes >= AHEAD_BYTES || this.#isReadToEnd
    if (this.#isReading || this.#isOver || !this.#begin() || isEnough) return
    this.#isReading = true
    this.#read()
      .then(count => {
        this.#isReading = false
        if (this.#isOver || count === 0) return
        this.#options.onReady()
        this.prepare()
      })
      .catch(error => {
        // The log grows until reading works again; nothing else depends on it.
        this.#isReading = false
        this.#options.onError(error)
      })
  }

  stop(): void {
    this.#isOver = true
  }

  /** Whether a pass is under way, or begins now. */
  #begin(): boolean {
    const { log, logBytesMin = LOG_BYTES_MIN } = this.#options
    if (this.#isOver) return false
    if (this.#passEnd !== null) return true
    if (this.#appendedBytes <= Math.max(logBytesMin, this.#liveBytes) || log.end.seq <= log.firstSeq) return false
    // Not the newest: the next append has to name it.
    this.#passEnd = log.end.seq
    this.#passCarriedBytes = 0
    this.#appendedBytes = 0
    return true
  }

  async #read(): Promise<number> {
    const { engine, keys, shard, log } = this.#options
    const end = this.#passEnd ?? 0
    let last = this.#lastRead
    while (last + 1 < end && this.#isDead(last + 1)) last++
    if (last + 1 >= end) return 0
    const batchBytes = log.bytes / (log.end.seq - log.firstSeq + 1)
    const listing = await engine.list({
      prefix: keys.log(shard),
      limit: Math.min(READ_BATCHES_MAX, Math.max(1, Math.floor(READ_BYTES / batchBytes))),
      ...(last < 0 ? {} : { after: keys.batch(shard, last) }),
    })
    let count = 0
    for (const pair of listing.pairs) {
      const batch = decodeBatch(pair.value)
      if (batch.seq >= end) break
      // Gone while it was being read: nothing in it was alive.
      if (batch.seq < log.firstSeq) continue
      this.#ahead.push({ batch, bytes: pair.value.byteLength })
      this.#aheadBytes += pair.value.byteLength
      count++
    }
    return count
  }
}

/** Returns how many entries of the group are carried into batch `seq`. */
function carry(
  states: Map<string, State>,
  from: number,
  seq: number,
  [instance, ...entries]: EntryGroup,
  text: GroupText,
): number {
  const state = states.get(instance)
  if (!state) return 0
  const kept: string[] = []
  // From the last to the first: of several values that one batch gave a record, only the last one is current.
  for (let index = entries.length - 1; index >= 0; index--) {
    const entry = entries[index]!
    if (!isCurrent(state, entry, from)) continue
    const encoded = encodeEntry(entry)
    assertSame(state, entry, encoded)
    carried(state, entry, seq)
    kept.push(encoded)
  }
  for (let index = kept.length - 1; index >= 0; index--) text.add(instance, kept[index]!)
  return kept.length
}

/** A value that is not what the state holds would come back at the next recovery: better no server than that one. */
function assertSame(state: State, entry: Entry, encoded: string): void {
  if (entry.record === 'settled') return
  const now = current(state, entry)
  // Of the record that the entry sets, so of its type.
  if (now && encodeEntry({ ...entry, value: now } as Entry) === encoded) return
  throw new Error(`a carried entry of the record ${entry.record} differs from the state`)
}
