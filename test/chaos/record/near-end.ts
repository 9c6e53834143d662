/**
 * A log whose counters are near their ends, made of one that is not, with the product's own engine and its own code for records and batches: as if all
 * that lies between had happened. No server may be running.
 */
import { systemClock } from '../../../packages/server/src/clock.ts'
import { decodeRecord } from '../../../packages/server/src/engine/commit.ts'
import { type Engine, LIST_LIMIT_MAX } from '../../../packages/server/src/engine/engine.ts'
import { openEtcd } from '../../../packages/server/src/engine/etcd/etcd.ts'
import { encodeEntry } from '../../../packages/server/src/locks/encoding.ts'
import type { Entry } from '../../../packages/server/src/locks/model.ts'
import {
  type Batch,
  decodeBatch,
  encodeBatch,
  GroupText,
  hashBatch,
} from '../../../packages/server/src/shards/batch.ts'
import { keysUnder, STORE_ROOT } from '../../../packages/server/src/shards/keys.ts'
import { decodeOwner, encodeOwner } from '../../../packages/server/src/shards/ownership.ts'
import { recover } from '../../../packages/server/src/shards/recovery.ts'
import { shardOf } from '../../../packages/server/src/shards/router.ts'

/** Of tokens, tickets and sessions: one sequence in each epoch. */
export const NUMBERS_PER_EPOCH = 2 ** 32

export type NearEnd = {
  /** Whose shard it is. */
  instance: string
  /** The last epoch that there was; as it is when absent. */
  epoch?: number
  /** The last number that was given out, told the last epoch that there was. */
  number?: (epoch: number) => number
  /** Of the newest batch, which is then the only one; the next when absent. */
  seq?: number
}

const FORGED = 'forged'
const keys = keysUnder(STORE_ROOT)

/** Writes one more batch, of a session that came and went, with these numbers. Returns the last epoch that there was. */
export async function bringNearEnd(urls: readonly string[], near: NearEnd): Promise<number> {
  return withStore(urls, near.instance, async (engine, shard) => {
    const { pair, batch: last } = await newest(engine, shard)
    const owner = await engine.read(keys.owner(shard))
    if (!owner) throw new Error('nobody has ever owned the shard')
    const epoch = near.epoch ?? decodeOwner(owner).epoch
    const isAlone = near.seq !== undefined
    const batch = {
      ...{ id: FORGED, epoch, now: last.now, at: last.at, live: last.live },
      ...(isAlone ? { seq: near.seq!, prev: '' } : { seq: last.seq + 1, prev: hashBatch(pair.value) }),
    }
    const number = near.number?.(epoch)
    const entries = new GroupText()
    if (number !== undefined) for (const entry of session(number)) entries.add(near.instance, encodeEntry(entry))
    const value = encodeBatch(batch, { carried: new GroupText(), entries })
    const isRaised = near.epoch !== undefined
    const { ok } = await engine.commit({
      checks: [
        { key: owner.key, modRevision: owner.modRevision },
        { key: pair.key, modRevision: pair.modRevision },
      ],
      writes: [
        ...(isRaised ? [{ key: owner.key, value: encodeOwner({ server: '', epoch }) }] : []),
        ...(isAlone
          ? [{ from: keys.batch(shard, 0), to: keys.batch(shard, last.seq + 1), delete: true as const }]
          : []),
        { key: keys.batch(shard, batch.seq), value },
      ],
    })
    if (!ok) throw new Error('somebody else writes there')
    return epoch
  })
}

/** What a next owner would read: the token of each lock that is held, and the newest batch. */
export async function readHeld(urls: readonly string[], instance: string) {
  return withStore(urls, instance, async (engine, shard) => {
    const owner = await engine.read(keys.owner(shard))
    if (!owner) throw new Error('nobody has ever owned the shard')
    const { epoch, revision } = decodeOwner(owner)
    const { states, end } = await recover({ engine, clock: systemClock, keys, shard, ownership: { epoch, revision } })
    const held = new Map<string, number[]>()
    for (const { name, grants } of states.get(instance)?.locks.values() ?? [])
      held.set(
        name,
        grants.map(({ token }) => token),
      )
    return { held, seq: end.seq, epoch }
  })
}

async function withStore<Result>(
  urls: readonly string[],
  instance: string,
  act: (engine: Engine, shard: number) => Promise<Result>,
): Promise<Result> {
  const engine = await openEtcd({ urls, clock: systemClock })
  try {
    const meta = await engine.read(keys.meta)
    if (!meta) throw new Error('there is no cluster in the store')
    return await act(engine, shardOf(instance, Number(decodeRecord(meta.value).shards)))
  } finally {
    await engine.close()
  }
}

async function newest(engine: Engine, shard: number) {
  let last: { pair: { key: string; value: Uint8Array; modRevision: number }; batch: Batch } | null = null
  for (let more = true; more; ) {
    const after = last ? { after: last.pair.key } : {}
    const page = await engine.list({ prefix: keys.log(shard), limit: LIST_LIMIT_MAX, ...after })
    const pair = page.pairs.at(-1)
    if (pair) last = { pair, batch: decodeBatch(pair.value) }
    more = page.more
  }
  if (!last) throw new Error('there is no log')
  return last
}

function session(number: number): Entry[] {
  const value = { ttlMs: 60_000, labels: null, isSingle: false, by: '', changes: 0, seenChanges: 0 }
  return [
    { type: 'session_opened', record: 'session', session: FORGED, value: { number, id: FORGED, ...value } },
    { type: 'session_ended', record: 'session', session: FORGED, value: null },
  ]
}
