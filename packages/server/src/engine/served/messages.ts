/**
 * What goes over the socket between the process that holds a store and its guests.
 *
 * A frame is the length of what follows (32 bits, little-endian) and one message as `v8.serialize` writes it: bytes stay bytes, where JSON would
 * make a third more of them and lose what a commit may wrongly hold (NaN) before anybody could refuse it. Both ends are Node on one machine;
 * each reads what an older one writes.
 *
 * Pairs go before the result that they belong to, in as many messages as it takes: so no frame is larger than one value and a little, however
 * much a listing holds, and it is still one listing of one revision.
 */
import { deserialize, serialize } from 'node:v8'
import {
  type Check,
  COMMIT_OPERATIONS_MAX,
  type CommitRequest,
  EngineCompacted,
  EngineFatal,
  EngineRefusal,
  type EngineSize,
  type KeyValue,
  type ListOptions,
  type Write,
} from '../engine.ts'

/** Of the messages. A guest of another version is told so. */
export const VERSION = 1
/** The largest commit with what a seal adds to it, or the largest value with its key, and as much again. */
export const FRAME_BYTES_MAX = 2 * 1024 * 1024
/** Pairs are sent when there are so many: between two pieces the process that holds the store does its own work. */
const PART_BYTES = 256 * 1024
/** More than any commit: beyond it a message is not looked through. */
const OPERATIONS_MAX = 2 * COMMIT_OPERATIONS_MAX
const LENGTH_BYTES = 4

export type Asked =
  | { operation: 'hello'; version: number }
  | { operation: 'read'; key: string; atLeast: number }
  | { operation: 'list'; options: ListOptions }
  | { operation: 'commit'; request: CommitRequest }
  | { operation: 'size' }

export type Answered = {
  hello: null
  read: KeyValue | null
  /** The pairs have gone before it. */
  list: { revision: number; more: boolean }
  /** What a failed one has found has gone before it. */
  commit: { ok: boolean; revision: number }
  size: EngineSize
}

export type Pairs = (KeyValue | null)[]
export type GuestRequest = Asked & { number: number }
export type HolderAnswer = { number: number } & (
  | { pairs: Pairs }
  | { result: Answered[keyof Answered] }
  | { error: ToldError }
)

export type ToldError = { name: string; message: string; reason?: EngineRefusal['reason'] }

/** @throws EngineRefusal when it does not fit into a frame: then nothing of it has been sent. */
export function encode(message: GuestRequest | HolderAnswer): Buffer {
  const body = serialize(message)
  if (body.length > FRAME_BYTES_MAX) {
    throw new EngineRefusal('too_large', `a message of ${body.length} bytes is over ${FRAME_BYTES_MAX}`)
  }
  const frame = Buffer.allocUnsafe(LENGTH_BYTES + body.length)
  frame.writeUInt32LE(body.length)
  body.copy(frame, LENGTH_BYTES)
  return frame
}

/** The messages of a stream of bytes. Throws on a frame that is too long, or holds nothing that can be read. */
export async function* messagesIn(stream: AsyncIterable<Buffer>): AsyncGenerator<unknown> {
  let chunks: Buffer[] = []
  let held = 0
  let needed = LENGTH_BYTES
  for await (const chunk of stream) {
    chunks.push(chunk)
    held += chunk.length
    // Joined once a frame is whole, not with each chunk of it.
    if (held < needed) continue
    let rest = Buffer.concat(chunks)
    for (;;) {
      needed = neededFor(rest)
      if (rest.length < needed) break
      yield deserialize(rest.subarray(LENGTH_BYTES, needed))
      rest = rest.subarray(needed)
    }
    chunks = [rest]
    held = rest.length
  }
}

/** Bytes of the frame that begins here, as far as can be seen. */
function neededFor(bytes: Buffer): number {
  if (bytes.length < LENGTH_BYTES) return LENGTH_BYTES
  const length = bytes.readUInt32LE()
  if (length > FRAME_BYTES_MAX) throw new Error(`a frame of ${length} bytes is over ${FRAME_BYTES_MAX}`)
  return LENGTH_BYTES + length
}

export function* partsOf(pairs: Pairs): Generator<Pairs> {
  let part: Pairs = []
  let bytes = 0
  for (const pair of pairs) {
    part.push(pair)
    bytes += pair ? pair.value.byteLength + pair.key.length : 1
    if (bytes < PART_BYTES) continue
    yield part
    part = []
    bytes = 0
  }
  if (part.length > 0) yield part
}

export function tellError(error: unknown): ToldError {
  if (!(error instanceof Error)) return { name: 'Error', message: String(error) }
  const { name, message } = error
  return error instanceof EngineRefusal ? { name, message, reason: error.reason } : { name, message }
}

/** Whatever is none of the engine's own is a plain error: of a commit, that its outcome is unknown. */
export function toldError({ name, message, reason }: ToldError): Error {
  if (name === 'EngineRefusal') return new EngineRefusal(reason ?? 'bad_request', message)
  if (name === 'EngineCompacted') return new EngineCompacted(message)
  if (name === 'EngineFatal') return new EngineFatal(message)
  return new Error(message)
}

/** Throws on whatever no guest of ours sends. What an engine refuses by itself is left to it. */
export function parseRequest(message: unknown): GuestRequest {
  const { number, ...fields } = recordOf(message)
  if (!Number.isSafeInteger(number)) throw new Error('a request without a number')
  return { number: numberOf(number), ...parseAsked(fields) }
}

type Fields = Record<string, unknown>

function parseAsked({ operation, ...fields }: Fields): Asked {
  if (operation === 'hello') return { operation, version: numberOf(fields.version) }
  if (operation === 'read') return { operation, key: textOf(fields.key), atLeast: numberOf(fields.atLeast) }
  if (operation === 'list') return { operation, options: parseOptions(recordOf(fields.options)) }
  if (operation === 'commit') return { operation, request: parseCommit(recordOf(fields.request)) }
  if (operation === 'size') return { operation }
  throw new Error('no operation of ours')
}

function parseOptions({ prefix, limit, after, atLeast, revision }: Fields): ListOptions {
  return {
    prefix: textOf(prefix),
    limit: numberOf(limit),
    ...(after === undefined ? {} : { after: textOf(after) }),
    ...(atLeast === undefined ? {} : { atLeast: numberOf(atLeast) }),
    ...(revision === undefined ? {} : { revision: numberOf(revision) }),
  }
}

function parseCommit({ checks, writes, sealing }: Fields): CommitRequest {
  const request = { checks: listOf(checks).map(parseCheck), writes: listOf(writes).map(parseWrite) }
  if (sealing === undefined) return request
  const { bytes, operations } = recordOf(sealing)
  return { ...request, sealing: { bytes: numberOf(bytes), operations: numberOf(operations) } }
}

function parseCheck(check: unknown): Check {
  const { key, modRevision } = recordOf(check)
  return { key: textOf(key), modRevision: numberOf(modRevision) }
}

function parseWrite(write: unknown): Write {
  const { key, from, to, value } = recordOf(write)
  if (value instanceof Uint8Array) return { key: textOf(key), value }
  if (recordOf(write).delete !== true) throw new Error('a write that neither puts nor deletes')
  return from === undefined ? { key: textOf(key), delete: true } : { from: textOf(from), to: textOf(to), delete: true }
}

function recordOf(value: unknown): Fields {
  if (typeof value !== 'object' || value === null) throw new Error('no record')
  return value as Fields // an object, as was just seen
}

function listOf(value: unknown): unknown[] {
  if (Array.isArray(value) && value.length <= OPERATIONS_MAX) return value
  throw new Error(`no list of at most ${OPERATIONS_MAX}`)
}

function textOf(value: unknown): string {
  if (typeof value === 'string') return value
  throw new Error('no text')
}

function numberOf(value: unknown): number {
  if (typeof value === 'number') return value
  throw new Error('no number')
}
