/** The record that makes a store a cluster: made once, never changed but by a restore. */
import type { Clock } from '../clock.ts'
import { commitKnown, decodeRecord, encodeRecord, sameBytes } from '../engine/commit.ts'
import type { Engine } from '../engine/engine.ts'
import { isSealed } from '../engine/sealed/envelope.ts'
import { refuseSealed, sealedWithoutKey } from '../engine/sealed/keyring.ts'
import type { Random } from '../random.ts'
import { randomHex } from '../random.ts'
import { encodeBatch, FORMAT, GroupText } from './batch.ts'
import type { Keys } from './keys.ts'
import type { ShardTelemetry } from './telemetry.ts'

/** All logs are begun in the commit that creates the cluster, so they must fit one. */
export const SHARDS_MAX = 64
/** 256 bits: secrets of sessions are derived from it. */
const CLUSTER_KEY_BYTES = 32

export type Meta = { clusterId: string; clusterKey: string; format: number; shards: number }

type Options = { engine: Engine; clock: Clock; random: Random; keys: Keys; telemetry: ShardTelemetry; shards: number }

/** Reads the record, or creates the cluster: with it the first batch of every log. */
export async function openMeta(options: Options): Promise<Meta> {
  const { engine, keys } = options
  for (;;) {
    const pair = await engine.read(keys.meta)
    if (pair) return decodeMeta(pair.value)
    // One that another server has begun to seal a moment ago is no empty one.
    if (!engine.isSealed) await refuseSealed(engine, keys.root)
    // When it does not pass, somebody else has created it: read again.
    await create(options)
  }
}

async function create({ engine, clock, random, keys, telemetry, shards }: Options): Promise<void> {
  if (!Number.isInteger(shards) || shards < 1 || shards > SHARDS_MAX) {
    throw new Error(`a cluster has 1 to ${SHARDS_MAX} shards, not ${shards}`)
  }
  const meta: Meta = {
    clusterId: randomHex(random, 16),
    clusterKey: randomHex(random, CLUSTER_KEY_BYTES),
    format: FORMAT,
    shards,
  }
  const bytes = encodeRecord(meta)
  const first = genesis(clock.wallMs())
  await commitKnown({
    engine,
    clock,
    checks: [{ key: keys.meta, modRevision: 0 }],
    writes: [
      { key: keys.meta, value: bytes },
      ...Array.from({ length: shards }, (_, shard) => ({ key: keys.batch(shard, 0), value: first })),
    ],
    passedAt: sameBytes(0, bytes),
    onUnknown: (error, attempt) => telemetry.commitUnknown({ what: 'creation', attempt, error }),
  })
}

/** Batch 0: an append always has a predecessor to name. */
function genesis(at: number): Buffer {
  const groups = { carried: new GroupText(), entries: new GroupText() }
  return encodeBatch({ id: 'genesis', seq: 0, epoch: 0, prev: '', now: 0, at, live: 0 }, groups)
}

export function decodeMeta(bytes: Uint8Array): Meta {
  if (isSealed(bytes)) throw sealedWithoutKey()
  const { clusterId, clusterKey, format, shards } = decodeRecord(bytes)
  if (typeof format === 'number' && format > FORMAT) {
    throw new Error(
      `The data was written by a newer version of Holdfast (format ${format}; this one knows ${FORMAT}). Upgrade the server; nothing was changed.`,
    )
  }
  const isMeta =
    typeof clusterId === 'string' &&
    typeof clusterKey === 'string' &&
    typeof format === 'number' &&
    typeof shards === 'number'
  if (!isMeta) throw new Error('the meta record of the store is damaged')
  return { clusterId, clusterKey, format, shards }
}
