/**
 * Reading a log once gives the state back. What is read must be all there is: each page no older than our own takeover, for a store may
 * serve old data after an election; no gap in the sequence; no batch of an earlier epoch after one of a later; and each batch must name
 * the hash of the one before. Anything else means that somebody wrote what no owner writes, and granting on it would be worse
 * than not starting (SAFETY P4).
 */
import { type Clock, pause } from '../clock.ts'
import type { Engine, KeyValue } from '../engine/engine.ts'
import { apply } from '../locks/apply.ts'
import { newState, type State } from '../locks/state.ts'
import { type Batch, decodeBatch, type EntryGroup, hashBatch, textBytesOf } from './batch.ts'
import type { Keys } from './keys.ts'
import type { LogEnd } from './log.ts'
import type { Ownership } from './ownership.ts'
import { readKnown } from './reading.ts'

export type Recovered = {
  states: Map<string, State>
  end: LogEnd
  firstSeq: number
  bytes: number
  /** Of each batch, oldest first. */
  sizes: number[]
  entries: number
  /** The shard's clock at the newest batch. */
  nowMs: number
  /** What the last complete cleaning found alive. */
  liveBytes: number
}

export type RecoveryOptions = {
  engine: Engine
  clock: Clock
  keys: Keys
  shard: number
  ownership: Ownership
  /** Sees each batch, in order: the feed remembers the latest events. */
  onBatch?(batch: Batch): void
}

/** Bytes of a page that are worth reading at once: enough to be quick, and little enough for beats to come between two pages. */
const PAGE_BYTES = 1024 * 1024
const PAGE_BATCHES_MIN = 8
const PAGE_BATCHES_MAX = 4_096
/** How often a page that is older than the takeover is asked for again before giving up. */
const STALE_READS_MAX = 1_000
const STALE_READ_MS = 10

/** The log is broken: starting on it could grant what somebody else holds. */
export class LogBroken extends Error {
  override readonly name = 'LogBroken'
}

export async function recover(options: RecoveryOptions): Promise<Recovered> {
  const fold = new Fold(options)
  let limit = PAGE_BATCHES_MIN
  for (let after: string | null = null; ; ) {
    const { pairs, more } = await readPage(options, { after, limit })
    let bytes = 0
    for (const pair of pairs) {
      fold.add(pair)
      bytes += textBytesOf(pair.value)
    }
    after = pairs.at(-1)?.key ?? after
    if (!more) return fold.finish()
    const fitting = Math.floor((PAGE_BYTES * pairs.length) / Math.max(1, bytes))
    limit = Math.min(PAGE_BATCHES_MAX, Math.max(PAGE_BATCHES_MIN, fitting))
    // The beats of this server must go on.
    await new Promise<void>(resolve => options.clock.afterPoll(resolve))
  }
}

async function readPage(
  { engine, clock, keys, shard, ownership }: RecoveryOptions,
  page: { after: string | null; limit: number },
) {
  const prefix = keys.log(shard)
  const after = page.after === null ? {} : { after: page.after }
  const atLeast = Math.max(ownership.revision, ownership.atLeast ?? 0)
  for (let read = 0; read < STALE_READS_MAX; read++) {
    const listing = await readKnown(clock, () => engine.list({ prefix, limit: page.limit, atLeast, ...after }))
    // The engine has promised it. What is granted rests on it, so it is looked at again.
    if (listing.revision >= atLeast) return listing
    await pause(clock, STALE_READ_MS)
  }
  throw new LogBroken(`shard ${shard}: the store keeps answering with data older than the takeover`)
}

class Fold {
  readonly #options: RecoveryOptions
  readonly #states = new Map<string, State>()
  #first: Batch | null = null
  #last: Batch | null = null
  #end: LogEnd = { seq: -1, revision: 0, hash: '' }
  #bytes = 0
  readonly #sizes: number[] = []
  #entries = 0

  constructor(options: RecoveryOptions) {
    this.#options = options
  }

  add(pair: KeyValue): void {
    const batch = decodeBatch(pair.value)
    this.#verify(pair, batch)
    for (const group of batch.carried) this.#apply(group, batch)
    for (const group of batch.entries) this.#apply(group, batch)
    this.#options.onBatch?.(batch)
    this.#first ??= batch
    this.#last = batch
    this.#end = { seq: batch.seq, revision: pair.modRevision, hash: hashBatch(pair.value) }
    const size = textBytesOf(pair.value)
    this.#bytes += size
    this.#sizes.push(size)
  }

  finish(): Recovered {
    const { shard, ownership } = this.#options
    if (!this.#first || !this.#last)
      throw new LogBroken(`shard ${shard}: the log is empty; not even its first batch is there`)
    if (this.#last.epoch > ownership.epoch) {
      throw new LogBroken(
        `shard ${shard}: batch ${this.#last.seq} is of epoch ${this.#last.epoch}, and ours is ${ownership.epoch}`,
      )
    }
    for (const state of this.#states.values()) state.epoch = ownership.epoch
    return {
      states: this.#states,
      end: this.#end,
      firstSeq: this.#first.seq,
      bytes: this.#bytes,
      sizes: this.#sizes,
      entries: this.#entries,
      nowMs: this.#last.now,
      liveBytes: this.#last.live,
    }
  }

  #verify(pair: KeyValue, batch: Batch): void {
    const { shard, keys } = this.#options
    const last = this.#last
    const place = `shard ${shard}, batch ${batch.seq}`
    if (pair.key !== keys.batch(shard, batch.seq)) throw new LogBroken(`${place}: it lies at ${pair.key}`)
    if (!last) return
    if (batch.seq !== last.seq + 1)
      throw new LogBroken(`${place}: it follows batch ${last.seq}; what lay between is missing`)
    if (batch.epoch < last.epoch) throw new LogBroken(`${place}: its epoch ${batch.epoch} is before ${last.epoch}`)
    if (batch.prev !== this.#end.hash)
      throw new LogBroken(`${place}: it was not written after the batch that lies before it`)
    if (batch.now < last.now) throw new LogBroken(`${place}: its clock is behind that of the batch before`)
  }

  #apply([instance, ...entries]: EntryGroup, { seq, epoch }: Batch): void {
    let state = this.#states.get(instance)
    if (!state) {
      state = newState(epoch)
      this.#states.set(instance, state)
    }
    state.seq = seq
    for (const entry of entries) {
      if (entry.record === 'grant' && entry.value) {
        // The text that the session's own record has: a million copies fewer.
        entry.value.session = state.sessions.get(entry.value.session)?.record?.id ?? entry.value.session
      }
      if (entry.record === 'wait' && entry.value === null) {
        // As it was when it happened: who left the line is told to those who watch, and is not in the entry that is logged.
        const waiter = state.tickets.get(entry.ticket)
        if (waiter) entry.gone = { waiter, grants: null }
      }
      apply(state, entry)
    }
    this.#entries += entries.length
  }
}
