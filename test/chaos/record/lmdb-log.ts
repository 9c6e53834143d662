/**
 * The ground truth of a run on LMDB, which only one process has at a time: read when that process is dead. The log is cleaned as it goes, but nothing
 * is deleted before it has been copied into the archive, byte for byte; so the two together are the whole log, from the first batch on.
 */
import { decodeIndex } from '../../../packages/server/src/audit/archive-index.ts'
import { auditKeysUnder } from '../../../packages/server/src/audit/keys.ts'
import { decodeSegment } from '../../../packages/server/src/audit/segment.ts'
import { type Engine, type KeyValue, LIST_LIMIT_MAX } from '../../../packages/server/src/engine/engine.ts'
import { openLmdb } from '../../../packages/server/src/engine/lmdb/lmdb.ts'
import { decodeBatch, hashBatch } from '../../../packages/server/src/shards/batch.ts'
import { keysUnder } from '../../../packages/server/src/shards/keys.ts'
import { encodeOwner } from '../../../packages/server/src/shards/ownership.ts'
import { Violation } from '../../checker/judge.ts'
import type { Told } from '../../checker/promising.ts'
import { type Commit, nowMs } from './recorder.ts'

/** The only one. */
const SHARD = 0

/**
 * The commits that have made the log, oldest first, each at the time when it was decided, and made by when the next one was handed to the store. Who the owners were is taken from the epochs of the
 * batches: an owner that wrote nothing left no trace. What was deleted with which batch is what the servers have told of before the store had it (`told`).
 */
export async function commitsOfLmdb(path: string, root: string, told: readonly Told[]): Promise<Commit[]> {
  const engine = await openLmdb({ path })
  try {
    const { all: batches, left } = await batchesIn(engine, root)
    const commits = commitsOf(batches, root, handedIn(told))
    compareLeft(commits, left)
    return commits
  } finally {
    await engine.close()
  }
}

async function batchesIn(engine: Engine, root: string) {
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
  const left = await all(engine, keys.log(SHARD))
  const log = left.map(({ value }) => value)
  const bySeq = new Map<number, Uint8Array>()
  for (const bytes of [...archived, ...log]) bySeq.set(decodeBatch(bytes).seq, bytes)
  return {
    all: [...bySeq].sort(([one], [other]) => one - other).map(([, bytes]) => bytes),
    left: new Set(left.map(({ key }) => key)),
  }
}

type Range = { from: string; to: string }

/** A batch as it was handed to the store: what went with it, and when it was for the first time. */
type Handed = { deleted: Range[]; atMs: number }

/** By the hashes of batches: the same bytes are sent again until it is known what came of them. */
function handedIn(told: readonly Told[]): Map<string, Handed> {
  const handed = new Map<string, Handed>()
  for (const line of told) {
    if (line.e !== 'log') continue
    if (!line.appended)
      throw new Violation(`I22: a commit that appends nothing deletes from the log: ${JSON.stringify(line)}`)
    const { hash } = line.appended
    handed.set(hash, { deleted: line.deleted, atMs: handed.get(hash)?.atMs ?? line.t })
  }
  return handed
}

/** I22: what has not been deleted by any of these is there, and nothing else is. */
function compareLeft(commits: readonly Commit[], left: ReadonlySet<string>): void {
  const expected = new Set<string>()
  for (const { writes } of commits)
    for (const write of writes) {
      if ('from' in write) {
        for (const key of expected) if (key >= write.from && key < write.to) expected.delete(key)
      } else if ('value' in write && !write.key.endsWith('/owner')) expected.add(write.key)
    }
  for (const key of expected) if (!left.has(key)) throw new Violation(`I22: ${key} is gone, and nobody deleted it`)
  for (const key of left) if (!expected.has(key)) throw new Violation(`I22: ${key} was deleted, and is there`)
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

function commitsOf(batches: readonly Uint8Array[], root: string, handed: ReadonlyMap<string, Handed>): Commit[] {
  const keys = keysUnder(root)
  const commits: Commit[] = []
  const wallMs = Date.now() - nowMs()
  const hashes = batches.map(hashBatch)
  let epoch = 0
  for (const [place, value] of batches.entries()) {
    const batch = decodeBatch(value)
    // One is in flight at a time.
    const byMs = handed.get(hashes[place + 1] ?? '')?.atMs ?? Number.POSITIVE_INFINITY
    const when = { atMs: batch.at - wallMs, byMs }
    while (epoch < batch.epoch) {
      epoch++
      const owner = { key: keys.owner(SHARD), value: encodeOwner({ server: `of epoch ${epoch}`, epoch }) }
      commits.push({ revision: 0, writes: [owner], ...when })
    }
    const deleted = handed.get(hashes[place] ?? '')?.deleted
    // The first is written with the cluster. Who was killed had told of its batch before the store had it.
    if (!deleted && batch.seq > 0) throw new Violation(`I22: no server has told of batch ${batch.seq}`)
    const cleaned = (deleted ?? []).map(range => ({ ...range, delete: true as const }))
    commits.push({ revision: 0, writes: [...cleaned, { key: keys.batch(SHARD, batch.seq), value }], ...when })
  }
  return commits
}
