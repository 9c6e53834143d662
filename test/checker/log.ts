/**
 * Judges every commit that the store has taken, in order: one appender, no gap, each batch names the one before (I19), cleaning leaves the fold as it
 * was (I22), what a new owner will read is what there was (I20); and hands the entries to a `Judge` for each instance. Ground truth: it
 * sees what was written before the cleaner removes it.
 */
import type { CommitRequest } from '../../packages/server/src/engine/engine.ts'
import type { Entry } from '../../packages/server/src/locks/model.ts'
import { type Batch, decodeBatch, hashBatch } from '../../packages/server/src/shards/batch.ts'
import { keysUnder } from '../../packages/server/src/shards/keys.ts'
import { decodeOwner } from '../../packages/server/src/shards/ownership.ts'
import { Judge, Violation } from './judge.ts'
import { Overdue } from './overdue.ts'

export type Written = { instance: string; entry: Entry; batch: Batch; index: number; place: number; shard: number }

type Log = {
  owner: { server: string; epoch: number }
  lastSeq: number
  lastHash: string
  lastEpoch: number
  lastNow: number
  /** Batches that are still there. */
  kept: Batch[]
  /** Of all that was ever written. */
  fold: Map<string, unknown>
}

export class LogWitness {
  readonly judges = new Map<string, Judge>()
  /** Of each shard: the first batch that its log still has, where it has been cleaned. */
  readonly keptFrom = new Map<number, number>()
  readonly counts = { batches: 0, entries: 0, takeovers: 0, cleaned: 0, carried: 0 }
  readonly #keys: ReturnType<typeof keysUnder>
  readonly #logs = new Map<number, Log>()
  readonly #overdue = new Map<string, Overdue>()
  readonly #hear: (written: Written) => void

  /** `hear`: of each entry that is not carried, when it has been judged. */
  constructor(root: string, hear: (written: Written) => void) {
    this.#keys = keysUnder(root)
    this.#hear = hear
  }

  judge(instance: string): Judge {
    let judge = this.judges.get(instance)
    if (!judge) {
      judge = new Judge()
      this.judges.set(instance, judge)
    }
    return judge
  }

  /** `server`: who sent it; null: only the store is known, whose record says no more than the epoch. Throws a `Violation`. */
  passed({ writes }: Pick<CommitRequest, 'writes'>, server: string | null): void {
    for (const write of writes) {
      const key = 'from' in write ? write.from : write.key
      const match = /\/shards\/(\d+)\/(owner|log\/)/.exec(key.slice(this.#keys.root.length))
      if (!match) continue
      const log = this.#log(Number(match[1]))
      if ('from' in write) this.#cleaned(log, { shard: Number(match[1]), to: write.to })
      else if (!('value' in write)) throw new Violation(`I19: ${key} was deleted by itself`)
      else if (match[2] === 'owner') this.#owned(log, write)
      else this.#appended(log, { shard: Number(match[1]), value: write.value, server })
    }
  }

  /** What must be true when nothing is under way any more. */
  settle(): void {
    this.compareFolds()
    for (const judge of this.judges.values()) judge.settle()
  }

  /** I20: what new owners would read now is what there was. */
  compareFolds(): void {
    for (const log of this.#logs.values()) this.#compareFolds(log)
  }

  #log(shard: number): Log {
    let log = this.#logs.get(shard)
    if (!log) {
      const owner = { server: '', epoch: 0 }
      log = { owner, lastSeq: -1, lastHash: '', lastEpoch: 0, lastNow: 0, kept: [], fold: new Map() }
      this.#logs.set(shard, log)
    }
    return log
  }

  #owned(log: Log, { key, value }: { key: string; value: Uint8Array }): void {
    const { server, epoch } = decodeOwner({ key, value, modRevision: 0 })
    const expected = server === '' ? log.owner.epoch : log.owner.epoch + 1
    if (epoch !== expected) throw new Violation(`I19: the owner of epoch ${log.owner.epoch} was followed by ${epoch}`)
    if (server !== '') this.counts.takeovers++
    log.owner = { server, epoch }
    if (server !== '') this.#compareFolds(log)
  }

  #appended(log: Log, { shard, value, server }: { shard: number; value: Uint8Array; server: string | null }): void {
    const batch = decodeBatch(value)
    if (batch.seq !== log.lastSeq + 1) throw new Violation(`I19: batch ${batch.seq} was written after ${log.lastSeq}`)
    if (batch.prev !== log.lastHash) throw new Violation(`I15: batch ${batch.seq} does not name the one before it`)
    const isOwner = batch.epoch === log.owner.epoch && (server === null || server === log.owner.server)
    if (batch.seq > 0 && !isOwner)
      throw new Violation(`I19: ${server} appended in epoch ${batch.epoch}; the owner is ${log.owner.server}`)
    if (batch.epoch < log.lastEpoch || batch.now < log.lastNow) throw new Violation('I19: the epoch or the clock fell')
    const earliest = log.lastNow
    Object.assign(log, { lastSeq: batch.seq, lastHash: hashBatch(value), lastEpoch: batch.epoch, lastNow: batch.now })
    log.kept.push(batch)
    this.counts.batches++
    for (const [instance, ...entries] of batch.carried) for (const entry of entries) this.#carried(log, instance, entry)
    let index = 0
    const place = this.counts.batches
    for (const [instance, ...entries] of batch.entries) {
      for (const entry of entries) {
        this.counts.entries++
        fold(log.fold, instance, entry)
        checkMoment(entry, { earliest, latest: batch.now })
        this.judge(instance).entry(entry, momentOf(entry, batch))
        this.#hear({ instance, entry, batch, index: index++, place, shard })
      }
      this.#checkEnds(instance)
      this.#checkTime(instance, batch)
    }
  }

  #checkTime(instance: string, batch: Batch): void {
    const overdue = this.#overdue.get(instance) ?? new Overdue()
    this.#overdue.set(instance, overdue)
    overdue.wrote(this.judge(instance), batch)
  }

  /** I11: the end of a session ends what it holds and waits for in the same batch. */
  #checkEnds(instance: string): void {
    const { grants, waiters, sessions } = this.judge(instance)
    for (const [lock, holders] of grants)
      for (const { session } of holders.values())
        if (!sessions.has(session)) throw new Violation(`I11: ${lock} is held by ${session}, which has ended`)
    for (const { session } of waiters.values())
      if (!sessions.has(session)) throw new Violation(`I11: ${session} waits, and has ended`)
  }

  #carried(log: Log, instance: string, entry: Entry): void {
    this.counts.carried++
    for (const { key, value } of recordsOf(instance, entry))
      if (!isSame(log.fold.get(key), value)) throw new Violation(`I22: ${key} was carried as it was not`)
  }

  #cleaned(log: Log, { shard, to }: { shard: number; to: string }): void {
    const before = Number(to.slice(this.#keys.log(shard).length))
    if (!(before <= log.lastSeq)) throw new Violation(`I22: the newest batch was cleaned (${before})`)
    const count = log.kept.findIndex(batch => batch.seq >= before)
    this.counts.cleaned += count
    this.keptFrom.set(shard, before)
    log.kept.splice(0, count)
  }

  /** I20: the log that is left says what the whole log said. */
  #compareFolds(log: Log): void {
    const left = new Map<string, unknown>()
    for (const batch of log.kept)
      for (const [instance, ...entries] of [...batch.carried, ...batch.entries])
        for (const entry of entries) fold(left, instance, entry)
    for (const [key, value] of log.fold)
      if (!isSame(left.get(key), value)) throw new Violation(`I20: ${key} is lost to the next owner`)
    for (const key of left.keys())
      if (!log.fold.has(key)) throw new Violation(`I20: ${key} has ended and comes back with the next owner`)
  }
}

/** Of what came from JSON, in which order soever its fields are. Node's own comparison costs four times as much. */
function isSame(one: unknown, other: unknown): boolean {
  if (one === other) return true
  if (typeof one !== 'object' || typeof other !== 'object' || one === null || other === null) return false
  if (Array.isArray(one) !== Array.isArray(other)) return false
  const [fields, others] = [one as Record<string, unknown>, other as Record<string, unknown>] // arrays by index
  const names = Object.keys(fields)
  if (names.length !== Object.keys(others).length) return false
  for (const name of names) if (!Object.hasOwn(others, name) || !isSame(fields[name], others[name])) return false
  return true
}

/**
 * I7: who comes into line, or is granted, does so when it is decided. Decisions of a batch are made after the last one of the batch before, on one clock,
 * also those that are made while that one is in flight, and none after its own last. An earlier moment would be a place before others.
 */
function checkMoment(entry: Entry, { earliest, latest }: { earliest: number; latest: number }): void {
  if (entry.record !== 'wait' && entry.record !== 'grant') return
  // Who is handed a lock has it since the other got it.
  const isTransfer = 'why' in entry && entry.why?.reason === 'transferred'
  if (entry.value === null || isTransfer || (entry.type !== 'queued' && entry.type !== 'granted')) return
  const { sinceMs } = entry.value
  if (sinceMs < earliest || sinceMs > latest)
    throw new Violation(`I7: ${entry.type} at ${sinceMs} in a batch of ${earliest} to ${latest}`)
}

/** When the decision was made, as far as the record says: a batch is as late as its last one. */
function momentOf(entry: Entry, batch: Batch): number {
  const isNew = (entry.record === 'wait' || entry.record === 'grant') && entry.value !== null
  return isNew && entry.value ? entry.value.sinceMs : batch.now
}

function fold(records: Map<string, unknown>, instance: string, entry: Entry): void {
  for (const { key, value } of recordsOf(instance, entry)) {
    if (value !== null) records.set(key, value)
    else records.delete(key)
    if (value === null && entry.record === 'session') forget(records, `${instance} request ${entry.session} `)
    if (value === null && entry.record === 'session') records.delete(`${instance} settled ${entry.session}`)
    if (entry.record === 'settled' && typeof value === 'number')
      settle(records, `${instance} request ${entry.session} `, value)
  }
}

/** The requests of a session are forgotten with it, without an entry for each. */
function forget(records: Map<string, unknown>, prefix: string): void {
  for (const key of records.keys()) if (key.startsWith(prefix)) records.delete(key)
}

function settle(records: Map<string, unknown>, prefix: string, below: number): void {
  for (const key of records.keys())
    if (key.startsWith(`${prefix}number `) && Number(key.slice(prefix.length + 7)) < below) records.delete(key)
}

/** The records that the entry sets, by name; null: removed. */
function recordsOf(instance: string, entry: Entry): { key: string; value: unknown }[] {
  const one = (name: string, value: unknown) => ({ key: `${instance} ${entry.record} ${name}`, value })
  switch (entry.record) {
    case 'grant': {
      const set = [one(`${entry.lock} ${entry.token}`, entry.value)]
      if (!entry.remembers) return set
      const { session, request, did } = entry.remembers
      return [...set, { key: `${instance} request ${session} ${typeof request} ${request}`, value: did }]
    }
    case 'wait':
      return [one(String(entry.ticket), entry.value)]
    case 'session':
    case 'settled':
      return [one(entry.session, entry.value)]
    case 'delay':
      return [one(`${entry.lock} ${entry.token}`, entry.value)]
    case 'config':
    case 'value':
      return [one(entry.lock, entry.value)]
    case 'freeze':
      return [one(entry.prefix, entry.value)]
    case 'request':
      return [one(`${entry.session} ${typeof entry.request} ${entry.request}`, entry.value)]
    case 'key':
      return [one(entry.key, entry.value)]
  }
}
