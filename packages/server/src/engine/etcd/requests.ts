/** Commits and listings in etcd's words. */
import type { Check, CommitRequest, KeyValue, Write } from '../engine.ts'
import type { ReplyOf, RequestOf } from './calls.ts'
import { compareTarget } from './messages.ts'

type Txn = RequestOf<'txn'>
type Operation = NonNullable<Txn['success']>[number]

/** Flat: nested transactions share the limit on operations, and would see the state before all of it. */
export function txnOf({ checks, writes }: CommitRequest): Txn {
  return { compare: checks.map(compareOf), success: writes.map(operationOf), failure: checks.map(lookOf) }
}

/**
 * The same question without its effect: the same checks, and the deletion of a key that is never there. That makes it a write, so it is
 * decided at its place in the log of all members, and one that a full store still accepts.
 */
export function probeOf(key: string, checks: Check[]): Txn {
  const never = { requestDeleteRange: { key: Buffer.from(`${key}\0never`) } }
  return { compare: checks.map(compareOf), success: [never], failure: [never, ...checks.map(lookOf)] }
}

/** What the checks found; `skip`: operations before them. */
export function foundIn(reply: ReplyOf<'txn'>, { checks }: CommitRequest, skip = 0): (KeyValue | null)[] {
  return checks.map((_, index) => {
    const pair = reply.responses[skip + index]?.responseRange?.kvs[0]
    return pair ? pairOf(pair) : null
  })
}

export function pairOf({ key, value, modRevision }: ReplyOf<'range'>['kvs'][number]): KeyValue {
  return { key: Buffer.from(key.buffer, key.byteOffset, key.byteLength).toString(), value, modRevision }
}

export function rangeOf({ prefix, after }: { prefix: string; after?: string }): { key: Buffer; rangeEnd: Buffer } {
  const first = Buffer.from(prefix)
  const rangeEnd = behind(first)
  if (after === undefined) return { key: first, rangeEnd }
  const beyond = Buffer.from(`${after}\0`)
  if (Buffer.compare(beyond, first) <= 0) return { key: first, rangeEnd }
  // A range that ends before it begins would be taken for one key.
  return { key: Buffer.compare(beyond, rangeEnd) < 0 ? beyond : rangeEnd, rangeEnd }
}

export function commitBytes({ writes }: CommitRequest): number {
  let bytes = 0
  for (const write of writes) if ('value' in write) bytes += write.value.byteLength
  return bytes
}

function compareOf({ key, modRevision }: Check) {
  return { target: compareTarget.MOD, key: Buffer.from(key), modRevision }
}

function lookOf({ key }: Check): Operation {
  return { requestRange: { key: Buffer.from(key) } }
}

function operationOf(write: Write): Operation {
  if ('value' in write) return { requestPut: { key: Buffer.from(write.key), value: write.value } }
  if ('key' in write) return { requestDeleteRange: { key: Buffer.from(write.key) } }
  return { requestDeleteRange: { key: Buffer.from(write.from), rangeEnd: Buffer.from(write.to) } }
}

/** The first key that does not begin with these bytes; none of ours is all 0xff. */
function behind(prefix: Buffer): Buffer {
  const end = Buffer.from(prefix)
  let last = end.length - 1
  while (end[last] === 0xff) last--
  end[last]!++
  return end.subarray(0, last + 1)
}
