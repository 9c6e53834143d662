/**
 * Becoming the one server that decides for a shard, and ceasing to be.
 *
 * The owner record names a server (one start of one process) and counts ownerships. It is taken over by a commit that checks it
 * unchanged, and that the member record of the server it names is absent: so nobody takes over from a server that has not first been
 * declared dead, and that happens by a delete that checks the very beat that was seen (SAFETY P7). On one machine a process that is
 * surely gone needs no waiting; one that is surely alive is not waited for, for it will not go away.
 */
import { type Clock, pause } from '../clock.ts'
import { commitKnown, decodeRecord, encodeRecord, sameBytes } from '../engine/commit.ts'
import { type Engine, EngineRefusal, type KeyValue } from '../engine/engine.ts'
import type { Keys } from './keys.ts'
import { decodeMember, type MemberRecord, type Membership } from './membership.ts'
import type { Processes } from './processes.ts'
import { readKnown } from './reading.ts'
import type { ShardTelemetry } from './telemetry.ts'

/** The owner record at this revision is ours: every append checks it. */
export type Ownership = {
  epoch: number
  revision: number
  /** What is read of the log must be no older than this: our own last append. Absent: than the takeover, after which nobody else appends. */
  atLeast?: number
}

/** For reading the log anew under an ownership that goes on: it has grown since it was taken. */
export function stillOwned(ownership: Ownership, end: { revision: number }): Ownership {
  return { ...ownership, atLeast: end.revision }
}

export type OwnershipOptions = {
  engine: Engine
  clock: Clock
  keys: Keys
  telemetry: ShardTelemetry
  membership: Membership
  processes: Processes
}

/** How often a silent server's record is looked at: several times in each of its beats. */
const LOOK_MS = 100
/** Epochs are the upper part of tokens, which stay below 2^53. */
export const EPOCH_MAX = 2 ** 21 - 1

/** Another process that lives holds the store. What to do is in the message. */
export class DataDirectoryInUse extends Error {
  override readonly name = 'DataDirectoryInUse'
  readonly member: MemberRecord
  constructor(member: MemberRecord) {
    const since = new Date(member.startedAt).toISOString()
    super(
      `The data directory is in use by the server ${member.server} (process ${member.pid}, ${member.address}, running since ${since}). ` +
        'Two servers cannot share one directory: stop that one, or start this one with a directory of its own.',
    )
    this.member = member
  }
}

/** Takes the shard over, waiting for a silent former owner as long as it must. Throws `DataDirectoryInUse`. */
export async function takeOver(options: OwnershipOptions, shard: number): Promise<Ownership> {
  const { engine, clock, keys, membership } = options
  for (;;) {
    const pair = await readKnown(clock, () => engine.read(keys.owner(shard)))
    const owner = pair && decodeOwner(pair)
    const isForeign = owner !== null && owner.server !== '' && owner.server !== membership.server
    if (isForeign) await outlive(options, owner.server)
    const taken = await takeFrom(options, shard, owner)
    // Else the record has changed since it was read.
    if (taken) return taken
  }
}

/**
 * Takes the shard over from the owner that was seen, if that is still what the record says and the server that it names is gone; else null. Waits
 * for nobody.
 */
export function takeFrom(
  options: OwnershipOptions,
  shard: number,
  owner: OwnerRecord | null,
): Promise<Ownership | null> {
  const { keys, membership } = options
  const { server, epoch, revision } = owner ?? { server: '', epoch: 0, revision: 0 }
  const former = server !== '' && server !== membership.server ? server : null
  const checks = [
    { key: keys.owner(shard), modRevision: revision },
    ...(former ? [{ key: keys.member(former), modRevision: 0 }] : []),
  ]
  return writeOwner(options, { shard, checks, server: membership.server, epoch: epoch + 1 })
}

/** One epoch more under the same owner: numbers are running out. Null when the shard is no longer ours. */
export function raiseEpoch(options: OwnershipOptions, shard: number, ownership: Ownership): Promise<Ownership | null> {
  const checks = [{ key: options.keys.owner(shard), modRevision: ownership.revision }]
  return writeOwner(options, { shard, checks, server: options.membership.server, epoch: ownership.epoch + 1 })
}

/**
 * Names nobody as owner, so that the next one need not wait. Only after the last answer has been given (SAFETY P11). Where the store takes nothing it is left
 * in our name: who goes on takes it back, who leaves removes his own record, and the next owner takes it for want of that.
 */
export async function handOver(options: OwnershipOptions, shard: number, ownership: Ownership): Promise<void> {
  const checks = [{ key: options.keys.owner(shard), modRevision: ownership.revision }]
  try {
    await writeOwner(options, { shard, checks, server: '', epoch: ownership.epoch })
  } catch (error) {
    if (!(error instanceof EngineRefusal)) throw error
    options.telemetry.alarm({ what: `shard ${shard} is given up, and still in this server's name`, error })
  }
}

async function writeOwner(
  { engine, clock, keys, telemetry }: OwnershipOptions,
  record: { shard: number; checks: { key: string; modRevision: number }[]; server: string; epoch: number },
): Promise<Ownership | null> {
  if (record.epoch > EPOCH_MAX) throw new Error(`shard ${record.shard} has no epochs left`)
  const value = encodeOwner(record)
  const known = await commitKnown({
    engine,
    clock,
    checks: record.checks,
    writes: [{ key: keys.owner(record.shard), value }],
    passedAt: sameBytes(0, value),
    onUnknown: (error, attempt) => telemetry.commitUnknown({ what: `owner of shard ${record.shard}`, attempt, error }),
  })
  return known.ok ? { epoch: record.epoch, revision: known.revision } : null
}

/** Returns when the server's member record is gone; deletes it itself once it may. */
async function outlive(options: OwnershipOptions, server: string): Promise<void> {
  const { engine, clock, keys, membership, processes, telemetry } = options
  const key = keys.member(server)
  let seenRevision = 0
  let silentMs = 0
  for (let lookedMs = clock.hrtimeMs(); ; await pause(clock, LOOK_MS)) {
    const pair = await readKnown(clock, () => engine.read(key))
    if (!pair) return
    const member = decodeMember(pair.value)
    const state = processes.stateOf(member)
    const isBeating = seenRevision !== 0 && pair.modRevision !== seenRevision
    if (state === 'alive' || isBeating) throw new DataDirectoryInUse(member)
    const nowMs = clock.hrtimeMs()
    // Its silence counts only while our own beats get through: else it is the store that is silent.
    if (seenRevision !== 0 && membership.isWithinDeadline()) silentMs += nowMs - lookedMs
    lookedMs = nowMs
    seenRevision = pair.modRevision
    // How long is for its own record to say (SAFETY O10).
    if (state !== 'gone' && silentMs < member.memberTtlMs) continue
    await commitKnown({
      engine,
      clock,
      checks: [{ key, modRevision: pair.modRevision }],
      writes: [{ key, delete: true }],
      // If it is another beat's the server lives, and if it is absent that is all we want: the next look tells.
      passedAt: () => null,
      onUnknown: (error, attempt) => telemetry.commitUnknown({ what: `death of ${server}`, attempt, error }),
    })
  }
}

/** As it lies in the store; `server` is empty when it was given up in good order. */
export type OwnerRecord = { server: string; epoch: number; revision: number }

export function encodeOwner({ server, epoch }: { server: string; epoch: number }): Buffer {
  return encodeRecord({ server, epoch })
}

export function decodeOwner({ value, modRevision }: KeyValue): OwnerRecord {
  const { server, epoch } = decodeRecord(value)
  if (typeof server !== 'string' || typeof epoch !== 'number')
    throw new SyntaxError('the owner record of a shard is damaged')
  return { server, epoch, revision: modRevision }
}
