/** What every engine refuses before it looks at its store, so that all refuse the same. */
import {
  COMMIT_BYTES_MAX,
  COMMIT_OPERATIONS_MAX,
  type CommitRequest,
  EngineRefusal,
  KEY_BYTES_MAX,
  LIST_LIMIT_MAX,
  type ListOptions,
  type Write,
} from './engine.ts'

const NOTHING = { bytes: 0, operations: 0 }

/** Throws an `EngineRefusal` for a commit that no engine would ever accept. */
export function refuseCommit({ checks, writes, sealing = NOTHING }: CommitRequest): void {
  if (checks.length + writes.length > COMMIT_OPERATIONS_MAX + sealing.operations) {
    throw new EngineRefusal('too_many_operations', `a commit has at most ${COMMIT_OPERATIONS_MAX} checks and writes`)
  }
  let bytes = 0
  for (const { key, modRevision } of checks) {
    bytes += keyBytes(key)
    refuseRevision(modRevision)
  }
  for (const write of writes) bytes += writeBytes(write)
  if (bytes > COMMIT_BYTES_MAX + sealing.bytes) {
    throw new EngineRefusal('too_large', `a commit of ${bytes} bytes is over ${COMMIT_BYTES_MAX}`)
  }
  refuseOverlaps(writes)
}

/** Throws an `EngineRefusal` for a listing that no engine would answer. */
export function refuseListing({ prefix, limit, after, atLeast, revision }: ListOptions): void {
  if (!Number.isInteger(limit) || limit < 1 || limit > LIST_LIMIT_MAX) {
    throw new EngineRefusal('bad_request', `a listing has 1 to ${LIST_LIMIT_MAX} pairs, not ${limit}`)
  }
  keyBytes(prefix)
  if (after !== undefined) keyBytes(after)
  refuseRevision(atLeast ?? 0)
  refuseRevision(revision ?? 0)
  if (revision === 0) throw new EngineRefusal('bad_request', 'there is nothing at revision 0')
}

export function refuseKey(key: string): void {
  keyBytes(key)
}

function refuseRevision(revision: number): void {
  if (Number.isSafeInteger(revision) && revision >= 0) return
  throw new EngineRefusal('bad_request', `${revision} is no revision`)
}

function writeBytes(write: Write): number {
  if ('from' in write) {
    return keyBytes(write.from) + keyBytes(write.to)
  }
  return keyBytes(write.key) + ('value' in write ? write.value.byteLength : 0)
}

function keyBytes(key: string): number {
  const bytes = Buffer.byteLength(key)
  if (bytes < 1 || bytes > KEY_BYTES_MAX) {
    throw new EngineRefusal('bad_request', `a key has 1 to ${KEY_BYTES_MAX} bytes, not ${bytes}`)
  }
  // What cannot be told apart once encoded would be one key under two names.
  if (!key.isWellFormed()) throw new EngineRefusal('bad_request', 'a key is well-formed text')
  return bytes
}

/** etcd refuses a key that is written twice, or put inside a deleted range; so all engines do. */
function refuseOverlaps(writes: Write[]): void {
  const seen = new Set<string>()
  for (const write of writes) {
    if ('from' in write) continue
    if (seen.has(write.key)) throw new EngineRefusal('bad_request', `${write.key} is written twice`)
    seen.add(write.key)
  }
  for (const range of writes) {
    if (!('from' in range)) continue
    for (const key of seen) {
      if (compareKeys(range.from, key) <= 0 && compareKeys(key, range.to) < 0) {
        throw new EngineRefusal('bad_request', `${key} is written inside a deleted range`)
      }
    }
  }
}

/** The order of the keys' UTF-8 bytes. JavaScript's own differs where surrogates meet U+E000 to U+FFFF. */
export function compareKeys(one: string, other: string): number {
  const length = Math.min(one.length, other.length)
  for (let index = 0; index < length; index++) {
    const first = one.charCodeAt(index)
    const second = other.charCodeAt(index)
    if (first !== second) return byteRank(first) - byteRank(second)
  }
  return one.length - other.length
}

/** Code units of surrogate pairs sort behind all others, as the code points that they stand for do. */
function byteRank(unit: number): number {
  return unit >= 0xd800 && unit <= 0xdfff ? unit + 0x10000 : unit
}
