/**
 * What a member of etcd that has fallen behind would answer to a read: what the store held at an earlier revision, under a header that says so. etcd
 * itself tells what that was; here the request is given that revision, and the header of the answer is set back to it.
 */
import { decode, encode, message, one } from '../../packages/server/src/engine/etcd/wire.ts'

const header = message({
  clusterId: one(1, 'uint64'),
  memberId: one(2, 'uint64'),
  revision: one(3, 'int64'),
  raftTerm: one(4, 'uint64'),
})
const request = message({ key: one(1, 'bytes'), revision: one(4, 'int64') })
const reply = message({ header: one(1, header) })
/** Flag and length before each message of gRPC. */
const FRAME_BYTES = 5
/** Of the field of the header, which comes first in an answer of etcd: its number and kind. */
const HEADER_TAG = 0x0a

/** The key that is read, or where a listing begins; null for a read that asks for a revision by itself. */
export function readKey(body: Buffer): string | null {
  const { key, revision } = decode(request, body.subarray(FRAME_BYTES))
  return revision === 0 ? Buffer.from(key).toString() : null
}

/** The same read, of the store as it was at this revision. The last value of a field is the one that counts. */
export function readAsOf(body: Buffer, revision: number): Buffer {
  return framed(Buffer.concat([body.subarray(FRAME_BYTES), encode(request, { revision })]))
}

/** The answer of a member that has not come further than this revision. */
export function answeredAsOf(body: Buffer, revision: number): Buffer {
  const { head, rest } = partsOf(body)
  return framed(Buffer.concat([encode(reply, { header: { ...head, revision } }), rest]))
}

/** Whether the two say different things of the store. */
export function isDifferent(one: Buffer, other: Buffer): boolean {
  return Buffer.compare(partsOf(one).rest, partsOf(other).rest) !== 0
}

function partsOf(body: Buffer) {
  const bytes = body.subarray(FRAME_BYTES)
  const { header: head } = decode(reply, bytes)
  // A header has some tens of bytes, so its length is one byte.
  const length = bytes[1] ?? 0
  if (!head || bytes[0] !== HEADER_TAG || length > 127) throw new Error('this is no answer of etcd to a read')
  return { head, rest: bytes.subarray(2 + length) }
}

function framed(bytes: Buffer): Buffer {
  const frame = Buffer.alloc(FRAME_BYTES)
  frame.writeUInt32BE(bytes.length, 1)
  return Buffer.concat([frame, bytes])
}
