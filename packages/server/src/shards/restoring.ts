/**
 * What has to be done to a store that was restored from a backup, before any server may use it (SAFETY O4).
 *
 * What happened after the backup is forgotten, but it has happened: tokens were given out, and those who hold what was granted still believe
 * it. So every epoch is raised above all that may have been issued, and no lock is given to anybody until the longest TTL has passed, by a
 * freeze of all locks that everybody can see and an operator can lift. The cluster gets a new id, so that cursors of old events are not taken
 * for places in the new log; and the servers of then are forgotten.
 *
 * Sessions and what they held come back: their clients are told what they hold when they come, and give back what they do not know. Nobody is told
 * what he waits for. A wait whose client has been served since would be granted a lock that nobody knows of, for as long as that client lives; so all
 * waits end here, and whoever still waits asks again.
 */
import { SERVICE_INSTANCE } from '@holdfast/protocol/operation'
import type { Clock } from '../clock.ts'
import { encodeRecord } from '../engine/commit.ts'
import type { Engine } from '../engine/engine.ts'
import { Draft } from '../locks/draft.ts'
import { encodeEntry } from '../locks/encoding.ts'
import { giveUp } from '../locks/grants.ts'
import type { Entry } from '../locks/model.ts'
import { NUMBERS_PER_EPOCH, newState, nextNumber, type State } from '../locks/state.ts'
import { type Random, randomHex } from '../random.ts'
import { encodeBatch, GroupText, hashBatch } from './batch.ts'
import { type Keys, keysUnder } from './keys.ts'
import { decodeMeta, type Meta } from './meta.ts'
import { decodeOwner, EPOCH_MAX } from './ownership.ts'
import { type Recovered, recover } from './recovery.ts'
import { shardOf } from './router.ts'
import { BATCH_BYTES } from './turn.ts'

export type Restoring = {
  /** Nobody else uses it. */
  engine: Engine
  clock: Clock
  random: Random
  root: string
  /** The highest token that anybody has seen; null when that is not known. */
  aboveToken: number | null
  /** The epoch with which a store that was restored from the same backup began; absent: none was. */
  aboveEpoch?: number
  /** For how long nothing is granted; null: the longest TTL that is found, or `WAIT_MS_MIN` if that is longer. */
  waitMs: number | null
}

export type Restored = {
  clusterId: string
  shards: { shard: number; epochBefore: number; epoch: number; locks: number; grants: number }[]
  /** Every token from now on is larger. */
  aboveToken: number
  waitMs: number
  untilAt: number
}

/** 2^16 changes of owner, one every 2 s, are a day and a half of flapping that the backup knows nothing of. */
export const EPOCHS_SKIPPED = 2 ** 16
/**
 * Above the highest token that anybody has seen: sessions and waits draw from the same numbers and each new owner takes an epoch, without a token that anybody
 * would see. Eight minutes of flapping, not a day, so that there is a way on when the larger step would be beyond the last epoch.
 */
export const EPOCHS_ABOVE_TOKEN = 2 ** 8
/** The last epoch is that of the owner that comes. */
export const ABOVE_TOKEN_MAX = (EPOCH_MAX - EPOCHS_ABOVE_TOKEN) * NUMBERS_PER_EPOCH - 1
/** Sessions opened after the backup may have had longer TTLs than those in it. */
export const WAIT_MS_MIN = 60_000
/** Entries of one batch: far below what a commit may have. */
const ENTRIES_MAX = 1_000
/** Who did it, in the trail. */
const BY = 'cluster restore'
const LIST_MAX = 1_000

/** The store holds nothing of Holdfast's. */
export class NothingToRestore extends Error {
  override readonly name = 'NothingToRestore'
}

/** Tokens would no longer be exact: the message says which may be given. */
export class TokensExhausted extends Error {
  override readonly name = 'TokensExhausted'
}

/** @throws NothingToRestore, TokensExhausted, LogBroken; whoever calls throws the half-done store away. */
export async function raiseAboveBackup(options: Restoring): Promise<Restored> {
  const { engine, clock, random, root } = options
  const keys = keysUnder(root)
  const pair = await engine.read(keys.meta)
  if (!pair) throw new NothingToRestore(`The backup has no data of Holdfast under ${root}/.`)
  const meta = decodeMeta(pair.value)
  const found: Found[] = []
  for (let shard = 0; shard < meta.shards; shard++) found.push(await readShard(options, keys, shard))
  const waitMs = options.waitMs ?? Math.max(WAIT_MS_MIN, ...found.map(({ longestTtlMs }) => longestTtlMs))
  const untilAt = clock.wallMs() + waitMs
  const epoch = epochAbove(found, options)
  const instances = [SERVICE_INSTANCE, ...(await registered(engine, keys))]
  for (const shard of found) await raise({ ...options, keys, shard, shards: meta.shards, epoch, untilAt, instances })
  await forgetServers(engine, keys)
  const renamed: Meta = { ...meta, clusterId: randomHex(random, 16) }
  await commit(engine, { checks: [{ key: keys.meta, modRevision: pair.modRevision }], key: keys.meta, value: renamed })
  return {
    clusterId: renamed.clusterId,
    shards: found.map(({ shard, highestEpoch, recovered }) => ({
      shard,
      epochBefore: highestEpoch,
      epoch,
      locks: sum(recovered, state => state.locks.size),
      grants: sum(recovered, state => state.grantCount),
    })),
    aboveToken: epoch * NUMBERS_PER_EPOCH,
    waitMs,
    untilAt,
  }
}

type Found = {
  shard: number
  ownerRevision: number
  highestEpoch: number
  longestTtlMs: number
  recovered: Recovered
}

async function readShard({ engine, clock }: Restoring, keys: Keys, shard: number): Promise<Found> {
  const pair = await engine.read(keys.owner(shard))
  const owner = pair && decodeOwner(pair)
  const recovered = await recover({ engine, clock, keys, shard, ownership: { epoch: EPOCH_MAX, revision: 0 } })
  let longestTtlMs = 0
  let lastNumber = 0
  for (const state of recovered.states.values()) {
    lastNumber = Math.max(lastNumber, state.lastNumber)
    for (const { record } of state.sessions.values()) longestTtlMs = Math.max(longestTtlMs, record?.ttlMs ?? 0)
  }
  const highestEpoch = Math.max(owner?.epoch ?? 0, Math.floor(lastNumber / NUMBERS_PER_EPOCH))
  return { shard, ownerRevision: owner?.revision ?? 0, highestEpoch, longestTtlMs, recovered }
}

function epochAbove(found: readonly Found[], { aboveToken, aboveEpoch = 0 }: Restoring): number {
  const highest = Math.max(aboveEpoch, ...found.map(({ highestEpoch }) => highestEpoch))
  const epoch =
    aboveToken === null
      ? highest + EPOCHS_SKIPPED
      : Math.max(highest, Math.floor(aboveToken / NUMBERS_PER_EPOCH)) + EPOCHS_ABOVE_TOKEN
  // The owner that comes takes the next one.
  if (epoch < EPOCH_MAX) return epoch
  const beyond = `Epoch ${epoch} is beyond the last one (${EPOCH_MAX - 1}): tokens would no longer be exact.`
  if (highest + EPOCHS_ABOVE_TOKEN >= EPOCH_MAX)
    throw new TokensExhausted(`${beyond} The backup itself, or what was restored from it, has used them up.`)
  throw new TokensExhausted(
    aboveToken === null
      ? `${beyond} Say the highest token that was ever seen (--above-token).`
      : `${beyond} The largest token that may be given by --above-token is ${ABOVE_TOKEN_MAX}.`,
  )
}

async function raise(
  options: Restoring & {
    keys: Keys
    shard: Found
    shards: number
    epoch: number
    untilAt: number
    instances: readonly string[]
  },
): Promise<void> {
  const { engine, clock, random, keys, shard: found, shards, epoch, untilAt } = options
  const { shard, recovered, ownerRevision } = found
  const at = clock.wallMs()
  const states = new Map(recovered.states)
  // Also those of which the backup knows no lock: they may have had some since.
  for (const instance of options.instances)
    if (shardOf(instance, shards) === shard && !states.has(instance)) states.set(instance, newState(epoch))
  const all = [...states].flatMap(([instance, state]) => {
    const ended = endWaits(state, { now: recovered.nowMs, at })
    const freeze = freezeOf({ ...state, epoch }, { untilAt, at })
    return [...ended, freeze].map(entry => ({ instance, text: encodeEntry(entry) }))
  })
  let { seq, revision, hash } = recovered.end
  for (let place = 0; place < all.length; ) {
    const entries = new GroupText()
    const end = place + ENTRIES_MAX
    for (let next = all[place]; next && place < end && !entries.exceeds(BATCH_BYTES); next = all[++place])
      entries.add(next.instance, next.text)
    const header = { id: randomHex(random, 16), seq: seq + 1, epoch, prev: hash, now: recovered.nowMs, at }
    const bytes = encodeBatch({ ...header, live: recovered.liveBytes }, { carried: new GroupText(), entries })
    const checks = [{ key: keys.batch(shard, seq), modRevision: revision }]
    revision = await commit(engine, { checks, key: keys.batch(shard, seq + 1), value: bytes })
    seq += 1
    hash = hashBatch(bytes)
  }
  // Nobody owns it: the first server that comes takes it over, with the next epoch.
  const checks = [{ key: keys.owner(shard), modRevision: ownerRevision }]
  await commit(engine, { checks, key: keys.owner(shard), value: { server: '', epoch } })
}

/** Changes the state. A session that was made for its wait alone ends with it. */
function endWaits(state: State, moment: { now: number; at: number }): readonly Entry[] {
  const draft = new Draft(state, { by: BY }, moment)
  const waits = [...state.sessions.values()].flatMap(session => [...session.waits])
  for (const waiter of waits) giveUp(draft, waiter, { by: BY, reason: 'cancelled' })
  return draft.entries
}

/** One that lasts longer already stays as it is. */
function freezeOf(state: State, { untilAt, at }: { untilAt: number; at: number }): Entry {
  const before = state.freezes.get('')
  const reason = 'Restored from a backup: holders that it knows nothing of may still believe. Lifts itself.'
  const value = {
    prefix: '',
    number: nextNumber(state),
    untilAt: Math.max(untilAt, before?.untilAt ?? 0),
    reason: before && before.untilAt > untilAt ? before.reason : reason,
    by: BY,
    at,
  }
  return { type: 'frozen', record: 'freeze', prefix: '', value, why: { by: BY, reason: value.reason } }
}

/** Ids of the instances that the registry has: the last parts of the keys of their records. */
async function registered(engine: Engine, keys: Keys): Promise<string[]> {
  const ids: string[] = []
  for (let after: string | undefined, more = true; more; ) {
    const page = await engine.list({
      prefix: keys.instances,
      limit: LIST_MAX,
      ...(after === undefined ? {} : { after }),
    })
    for (const { key } of page.pairs) ids.push(key.slice(keys.instances.length))
    after = page.pairs.at(-1)?.key
    more = page.more
  }
  return ids
}

async function forgetServers(engine: Engine, keys: Keys): Promise<void> {
  for (;;) {
    const { pairs } = await engine.list({ prefix: keys.members, limit: LIST_MAX })
    if (pairs.length === 0) return
    for (const { key, modRevision } of pairs) {
      await engine.commit({ checks: [{ key, modRevision }], writes: [{ key, delete: true }] })
    }
  }
}

/** On a store that nobody else uses: what does not pass is a bug, and what throws is begun again with the backup. */
async function commit(
  engine: Engine,
  { checks, key, value }: { checks: { key: string; modRevision: number }[]; key: string; value: Buffer | object },
): Promise<number> {
  const bytes = Buffer.isBuffer(value) ? value : encodeRecord(value)
  const result = await engine.commit({ checks, writes: [{ key, value: bytes }] })
  if (!result.ok) throw new Error(`somebody else writes to ${key}`)
  return result.revision
}

function sum({ states }: Recovered, of: (state: State) => number): number {
  let total = 0
  for (const state of states.values()) total += of(state)
  return total
}
