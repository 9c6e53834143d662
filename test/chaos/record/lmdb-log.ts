/**
 * The ground truth of a run on LMDB, which only one process has at a time: read when that process is dead. The log is cleaned as it goes, but nothing
 * is deleted before it has been copied into the archive, byte for byte; so the two together are the whole log, from the first batch on.
 */
import { decodeIndex } from '../../../packages/server/src/audit/archive-index.ts'
import { auditKeysUnder } from '../../../packages/server/src/audit/keys.ts'
import { decodeSegment } from '../../../packages/server/src/audit/segment.ts'
import { type Engine, type KeyValue, LIST_LIMIT_MAX } from '../../../packages/server/src/engine/engine.ts'
import { openLmdb } from '../../../packages/server/src/engine/lmdb/lmdb.ts'
import { decodeBatch } from '../../../packages/server/src/shards/batch.ts'
import { keysUnder } from '../../../packages/server/src/shards/keys.ts'
import { encodeOwner } from '../../../packages/server/src/shards/ownership.ts'
import { Violation } from '../../checker/judge.ts'
import { type Commit, nowMs } from './recorder.ts'

/** The only one. */
const SHARD = 0

/**
 * The commits that have made the log, oldest first, each at the time when it was decided. Who the owners were is taken from the epochs of the
 * batches: an owner that wrote nothing left no trace.
 */
export async function commitsOfLmdb(path: string, root: string): Promise<Commit[]> {
  const engine = await openLmdb({ path })
  try {
    return commitsOf(await batchesIn(engine, root), root)
  } finally {
    await engine.close()
  }
}

async function batchesIn(engine: Engine, root: string): Promise<Uint8Array[]> {
  const keys = keysUnder(root)
  const audit = auditKeysUnder(root)
  const archived: Uint8Array[] = []
  const index = await engine.read(audit.index(SHARD))
  if (index && decodeIndex(index.value).lost > 0) throw new Violation('I15: batches were deleted and are in no archive')
  for (const { key, value } of await all(engine, audit.segments(SHARD))) {
    const batches = decodeSegment(value)
    if (!batches) throw new Violation(`I15: ${key} is no segment of an archive`)
    archived.push(...batches)
  }
  const log = (await all(engine, keys.log(SHARD))).map(({ value }) => value)
  const bySeq = new Map<number, Uint8Array>()
  for (const bytes of [...archived, ...log]) bySeq.set(decodeBatch(bytes).seq, bytes)
  return [...bySeq].sort(([one], [other]) => one - other).map(([, bytes]) => bytes)
}

async function all(engine: Engine, prefix: string): Promise<KeyValue[]> {
  const pairs: KeyValue[] = []
  for (let more = true; more; ) {
    const after = pairs.at(-1)?.key
    const page = await engine.list({ prefix, limit: LIST_LIMIT_MAX, ...(after === undefined ? {} : { after }) })
    pairs.push(...page.pairs)
    more = page.more
  }
  return pairs
}

function commitsOf(batches: readonly Uint8Array[], root: string): Commit[] {
  const keys = keysUnder(root)
  const commits: Commit[] = []
  const wallMs = Date.now() - nowMs()
  let epoch = 0
  for (const value of batches) {
    const batch = decodeBatch(value)
    const atMs = batch.at - wallMs
    while (epoch < batch.epoch) {
      epoch++
      const owner = { key: keys.owner(SHARD), value: encodeOwner({ server: `of epoch ${epoch}`, epoch }) }
      commits.push({ revision: 0, writes: [owner], atMs })
    }
    commits.push({ revision: 0, writes: [{ key: keys.batch(SHARD, batch.seq), value }], atMs })
  }
  return commits
}
