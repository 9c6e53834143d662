/** What a shard's owner works with: all of it rests on one reading of the log, and is thrown away as a whole. */
import type { Clock } from '../clock.ts'
import type { Engine } from '../engine/engine.ts'
import type { Moment } from '../locks/decide.ts'
import { newState, rest, type State } from '../locks/state.ts'
import { Agenda } from './agenda.ts'
import { noArchive, type OpenArchive, type ShardArchive } from './archive.ts'
import { Cleaner } from './cleaner.ts'
import type { Feed } from './feed.ts'
import { Instance } from './instance.ts'
import type { Keys } from './keys.ts'
import { OwnershipLost, ShardLog } from './log.ts'
import type { Membership } from './membership.ts'
import type { Ownership } from './ownership.ts'
import type { TenantCounts } from './port.ts'
import { readKnown } from './reading.ts'
import { LogBroken, recover } from './recovery.ts'
import { ShardClock } from './shard-clock.ts'
import type { ShardTelemetry } from './telemetry.ts'

export type Working = {
  ownership: Ownership
  instances: Map<string, Instance>
  states: Map<string, State>
  /** What of them is due when. */
  agenda: Agenda
  /** Numbers go on from here, of whatever instance: so far had one gone of which nothing is left, or what has become void. */
  numbersFrom: number
  log: ShardLog
  archive: ShardArchive
  cleaner: Cleaner
  clock: ShardClock
  storage: { readonly isFull: boolean }
  /** Bytes of the last batch, carried ones apart: how fast the log grows. */
  appendedBytes: number
  /** When what rests was given back last. */
  restedMs: number
  /** How it came about, for telemetry. */
  readonly recovered: { epoch: number; batches: number; entries: number; bytes: number; ms: number }
}

export type WorkingOptions = {
  engine: Engine
  clock: Clock
  keys: Keys
  telemetry: ShardTelemetry
  membership: Membership
  shard: number
  /** Of the cluster. */
  shards: number
  feed: Feed
  storage: { readonly isFull: boolean }
  logBytesMin?: number
  archive?: OpenArchive
  /** More of the log has been archived: the cleaner may go on. */
  archived?(): void
  /** How far numbers had gone in what has become void under the same ownership. */
  numbersFrom?: number
}

/** Reads the log that `ownership` has just been taken of. */
export async function openWorking(options: WorkingOptions, ownership: Ownership): Promise<Working> {
  const { clock, engine, feed, keys, membership, shard, storage, telemetry, logBytesMin } = options
  const startedMs = clock.hrtimeMs()
  let isFirst = true
  const recovered = await recover({
    engine,
    clock,
    keys,
    shard,
    ownership,
    onBatch: batch => {
      if (isFirst) feed.restart(Math.max(0, batch.seq - 1))
      isFirst = false
      feed.recall(batch)
    },
  }).catch(error => unread(options, ownership, error))
  const { states, sizes, entries, bytes, nowMs, liveBytes } = recovered
  const log = new ShardLog({ engine, clock, keys, shard, telemetry, ...recovered })
  const archive = (options.archive ?? noArchive)({
    shard,
    shards: options.shards,
    ownerRevision: () => working.ownership.revision,
    progressed: () => options.archived?.(),
  })
  const own = { log, archive, states, liveBytes }
  const cleaner = new Cleaner({ ...own, ...(logBytesMin === undefined ? {} : { logBytesMin }) })
  // From here on, and not from the takeover's sending, sessions count their full time (SAFETY P10).
  const isWithinDeadline = () => membership.isWithinDeadline()
  const shardClock = new ShardClock({ clock, startMs: nowMs, isWithinDeadline })
  const ms = clock.hrtimeMs() - startedMs
  const working: Working = {
    ownership,
    states,
    instances: new Map(),
    agenda: new Agenda(nowMs),
    numbersFrom: options.numbersFrom ?? 0,
    log,
    archive,
    cleaner,
    clock: shardClock,
    storage,
    appendedBytes: 0,
    restedMs: options.clock.hrtimeMs(),
    recovered: { epoch: ownership.epoch, batches: sizes.length, entries, bytes, ms },
  }
  return working
}

/** To somebody who was overtaken while reading it, a log that the next owner goes on writing looks broken. */
async function unread(options: WorkingOptions, { revision }: Ownership, why: unknown): Promise<never> {
  const { clock, engine, keys, shard } = options
  const owner = why instanceof LogBroken ? await readKnown(clock, () => engine.read(keys.owner(shard))) : null
  throw owner && owner.modRevision !== revision ? new OwnershipLost(shard, [owner]) : why
}

/** The instance of this name, made when it is first asked for. */
export function instanceIn(working: Working, name: string): Instance {
  let instance = working.instances.get(name)
  if (!instance) {
    const state = working.states.get(name) ?? newState(working.ownership.epoch)
    // What was given out under this epoch is not given out again, and the log need not say how far that went: the entry that granted several permits, and
    // with them as many numbers, may have been cleaned, and the one that ended the grant names the first.
    state.lastNumber = Math.max(state.lastNumber, working.numbersFrom)
    working.states.set(name, state)
    instance = new Instance(name, state, working.agenda)
    working.instances.set(name, instance)
  }
  return instance
}

/** The highest number that any instance has given out. Kept beyond the states, which may be large. */
export function lastNumberIn({ states, numbersFrom }: Working): number {
  let last = numbersFrom
  for (const state of states.values()) last = Math.max(last, state.lastNumber)
  return last
}

/** How often it is looked at which instances rest. One that was not used from one look to the next does: who asks late how a grant ended has an hour. */
export const REST_MS = 60 * 60 * 1000

/**
 * Gives back what instances take that rest: of one that has no record in the log everything, of the others what is kept as a courtesy. Memory grows
 * with the instances that are used, never with those that were. What must outlive them is how far their numbers went: one number for the
 * whole shard says it, for those of an instance need only grow, and may leave some out.
 */
export function giveBackResting(working: Working, nowMs: number): void {
  if (nowMs - working.restedMs < REST_MS) return
  working.restedMs = nowMs
  for (const instance of working.instances.values()) {
    if (!instance.isResting()) continue
    const { name, state } = instance
    if (!state.live.isEmpty) {
      rest(state)
      continue
    }
    working.numbersFrom = Math.max(working.numbersFrom, state.lastNumber)
    instance.timers.stop()
    working.instances.delete(name)
    working.states.delete(name)
  }
}

/** Now, for a decision. */
export function momentOf(working: Working, clock: Clock): Moment {
  return { now: working.clock.now(), at: clock.wallMs(), isStorageFull: working.storage.isFull }
}

/** How much there is of what, for those who watch over the service. */
export function countsOf(working: Working | null) {
  const counts = { locks: 0, grants: 0, sessions: 0, waiters: 0 }
  for (const state of working?.states.values() ?? []) {
    counts.locks += state.locks.size
    counts.grants += state.grantCount
    counts.sessions += state.sessionCount
    counts.waiters += state.tickets.size
  }
  const { ownership, log } = working ?? {}
  return { epoch: ownership?.epoch ?? 0, seq: log?.end.seq ?? 0, ...counts, logBytes: log?.bytes ?? 0 }
}

/** The same for each instance that has anything. */
export function tenantsOf(working: Working | null): TenantCounts[] {
  return [...(working?.states ?? [])].map(([instance, state]) => ({
    instance,
    locks: state.locks.size,
    grants: state.grantCount,
    sessions: state.sessionCount,
    waiters: state.tickets.size,
    storedBytes: state.storedBytes,
  }))
}
