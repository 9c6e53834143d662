/**
 * Protocol Buffers, as much of them as etcd's API needs: messages described by values, their types derived from these, no code that is
 * made at run time. A put of a whole batch is the hot path, so a message is measured first and then written once, into one buffer.
 *
 * Numbers are exact. A revision that a JavaScript number cannot hold is an error, never another revision; ids use all 64 bits, so they
 * are bigints. Fields that are not described are skipped, as the format wants it, and so newer members can be talked to.
 */
type Kind = 'bytes' | 'string' | 'bool' | 'int64' | 'uint64' | 'uint32'
type Field = { id: number; type: Kind | Message; isRepeated: boolean }
type Fields = Record<string, Field>

export type Message<Of extends Fields = Fields> = { readonly fields: Of; readonly byId: readonly (Named | undefined)[] }
type Named = { name: string; field: Field }

export type Method<Request extends Message = Message, Reply extends Message = Message> = {
  path: string
  request: Request
  reply: Reply
}

type Values = { bytes: Uint8Array; string: string; bool: boolean; int64: number; uint64: bigint; uint32: number }
type ValueToSend<Type> = Type extends Kind ? Values[Type] : Type extends Message ? ToSend<Type> : never
type ValueReceived<Type> = Type extends Kind ? Values[Type] : Type extends Message ? Received<Type> : never

/** What is not set is not sent, and is zero, empty or absent for the one who receives it. */
export type ToSend<Of extends Message> = {
  [Name in keyof Of['fields']]?: Of['fields'][Name] extends { isRepeated: true; type: infer Type }
    ? readonly ValueToSend<Type>[]
    : ValueToSend<Of['fields'][Name]['type']>
}
export type Received<Of extends Message> = {
  [Name in keyof Of['fields']]: Of['fields'][Name] extends { isRepeated: true; type: infer Type }
    ? ValueReceived<Type>[]
    : Of['fields'][Name]['type'] extends Kind
      ? ValueReceived<Of['fields'][Name]['type']>
      : ValueReceived<Of['fields'][Name]['type']> | null
}

export function one<const Type extends Kind | Message>(id: number, type: Type) {
  return { id, type, isRepeated: false as const }
}

export function many<const Type extends Kind | Message>(id: number, type: Type) {
  return { id, type, isRepeated: true as const }
}

export function message<const Of extends Fields>(fields: Of): Message<Of> {
  const byId: (Named | undefined)[] = []
  for (const [name, field] of Object.entries(fields)) byId[field.id] = { name, field }
  return { fields, byId }
}

export function method<Request extends Message, Reply extends Message>(
  path: string,
  request: Request,
  reply: Reply,
): Method<Request, Reply> {
  return { path, request, reply }
}

const VARINT = 0
const FIXED_64 = 1
const LENGTH = 2
const FIXED_32 = 5

type Loose = Record<string, unknown>

export function encode<Of extends Message>(type: Of, value: ToSend<Of>): Buffer {
  // The fields are looked up by the names that the type has.
  const bytes = Buffer.allocUnsafe(sizeOf(type, value as Loose))
  write({ bytes, at: 0 }, type, value as Loose)
  return bytes
}

function sizeOf(type: Message, value: Loose): number {
  let size = 0
  for (const name in type.fields) {
    const given = value[name]
    if (given === undefined) continue
    const field = type.fields[name]!
    if (field.isRepeated) for (const item of given as unknown[]) size += fieldSize(field, item)
    else size += fieldSize(field, given)
  }
  return size
}

function fieldSize({ id, type }: Field, value: unknown): number {
  const tag = varintSize(id * 8)
  if (typeof type === 'object') return tag + withLength(sizeOf(type, value as Loose))
  switch (type) {
    case 'bytes':
      return tag + withLength((value as Uint8Array).byteLength)
    case 'string':
      return tag + withLength(Buffer.byteLength(value as string))
    case 'bool':
      return tag + 1
    case 'uint64':
      return tag + bigVarintSize(value as bigint)
    case 'int64':
    case 'uint32':
      return tag + varintSize(exact(value as number))
  }
}

const withLength = (size: number) => varintSize(size) + size

function varintSize(value: number): number {
  let size = 1
  for (let rest = value; rest >= 128; rest = Math.floor(rest / 128)) size++
  return size
}

function bigVarintSize(value: bigint): number {
  let size = 1
  for (let rest = BigInt.asUintN(64, value); rest >= 128n; rest >>= 7n) size++
  return size
}

/** Nothing that is sent is negative. */
function exact(value: number): number {
  if (!Number.isSafeInteger(value) || value < 0) throw new RangeError(`${value} cannot be sent as a whole number`)
  return value
}

type Output = { bytes: Buffer; at: number }

function write(output: Output, type: Message, value: Loose): void {
  for (const name in type.fields) {
    const given = value[name]
    if (given === undefined) continue
    const field = type.fields[name]!
    if (field.isRepeated) for (const item of given as unknown[]) writeField(output, field, item)
    else writeField(output, field, given)
  }
}

function writeField(output: Output, { id, type }: Field, value: unknown): void {
  const isVarint = type === 'bool' || type === 'int64' || type === 'uint32' || type === 'uint64'
  writeVarint(output, id * 8 + (isVarint ? VARINT : LENGTH))
  if (typeof type === 'object') {
    writeVarint(output, sizeOf(type, value as Loose))
    return write(output, type, value as Loose)
  }
  switch (type) {
    case 'bytes':
      writeVarint(output, (value as Uint8Array).byteLength)
      output.bytes.set(value as Uint8Array, output.at)
      output.at += (value as Uint8Array).byteLength
      return
    case 'string':
      writeVarint(output, Buffer.byteLength(value as string))
      output.at += output.bytes.write(value as string, output.at)
      return
    case 'bool':
      output.bytes[output.at++] = value === true ? 1 : 0
      return
    case 'uint64':
      return writeBigVarint(output, value as bigint)
    case 'int64':
    case 'uint32':
      return writeVarint(output, value as number)
  }
}

function writeVarint(output: Output, value: number): void {
  let rest = value
  while (rest >= 128) {
    output.bytes[output.at++] = (rest % 128) + 128
    rest = Math.floor(rest / 128)
  }
  output.bytes[output.at++] = rest
}

function writeBigVarint(output: Output, value: bigint): void {
  let rest = BigInt.asUintN(64, value)
  while (rest >= 128n) {
    output.bytes[output.at++] = Number(rest & 127n) + 128
    rest >>= 7n
  }
  output.bytes[output.at++] = Number(rest)
}

/** What came is not what the format allows. */
export class WireError extends Error {
  override readonly name = 'WireError'
}

/** Bytes in the result are views of `bytes`, not copies. */
export function decode<Of extends Message>(type: Of, bytes: Buffer): Received<Of> {
  // Made field by field from the description that the type is derived from.
  return read({ bytes, at: 0 }, type, bytes.length) as Received<Of>
}

type Input = { bytes: Buffer; at: number }

function read(input: Input, type: Message, end: number): Loose {
  const value: Loose = {}
  for (const name in type.fields) value[name] = absent(type.fields[name]!)
  while (input.at < end) {
    const tag = readVarint(input, end)
    const wire = tag % 8
    const named = type.byId[Math.floor(tag / 8)]
    if (!named) {
      skip(input, wire, end)
      continue
    }
    const { name, field } = named
    const item = readValue(input, field.type, wire, end)
    if (field.isRepeated) (value[name] as unknown[]).push(item)
    else value[name] = item
  }
  return value
}

const nothing = Buffer.alloc(0)

function absent({ type, isRepeated }: Field): unknown {
  if (isRepeated) return []
  if (typeof type === 'object') return null
  switch (type) {
    case 'bytes':
      return nothing
    case 'string':
      return ''
    case 'bool':
      return false
    case 'uint64':
      return 0n
    case 'int64':
    case 'uint32':
      return 0
  }
}

function readValue(input: Input, type: Kind | Message, wire: number, end: number): unknown {
  const isVarint = type === 'bool' || type === 'int64' || type === 'uint32' || type === 'uint64'
  if (wire !== (isVarint ? VARINT : LENGTH)) throw new WireError(`a field of type ${wire} where another belongs`)
  if (type === 'uint64') return readBigVarint(input, end)
  if (type === 'int64') return readInt64(input, end)
  const number = readVarint(input, end)
  if (type === 'bool') return number !== 0
  if (type === 'uint32') return number
  const from = input.at
  const to = from + number
  if (to > end) throw new WireError('a field is longer than its message')
  if (typeof type === 'object') return read(input, type, to)
  input.at = to
  return type === 'string' ? input.bytes.toString('utf8', from, to) : input.bytes.subarray(from, to)
}

function readVarint(input: Input, end: number): number {
  const first = input.bytes[input.at]
  if (first !== undefined && first < 128 && input.at < end) {
    input.at++
    return first
  }
  let value = 0
  for (let scale = 1; ; scale *= 128) {
    const byte = nextByte(input, end)
    value += (byte & 127) * scale
    if (value > Number.MAX_SAFE_INTEGER) throw new WireError('a number that cannot be held exactly')
    if (byte < 128) return value
  }
}

/** Negative ones have ten bytes: -1 is how etcd says that nothing has been compacted yet. */
function readInt64(input: Input, end: number): number {
  const first = input.bytes[input.at]
  if (first !== undefined && first < 128) return readVarint(input, end)
  const value = Number(BigInt.asIntN(64, readBigVarint(input, end)))
  if (!Number.isSafeInteger(value)) throw new WireError('a number that cannot be held exactly')
  return value
}

function readBigVarint(input: Input, end: number): bigint {
  let value = 0n
  for (let shift = 0n; shift < 70n; shift += 7n) {
    const byte = nextByte(input, end)
    value |= BigInt(byte & 127) << shift
    if (byte < 128) return BigInt.asUintN(64, value)
  }
  throw new WireError('a number of more than 64 bits')
}

function nextByte(input: Input, end: number): number {
  if (input.at >= end) throw new WireError('a message that ends in the middle')
  return input.bytes[input.at++]!
}

function skip(input: Input, wire: number, end: number): void {
  if (wire === VARINT) readBigVarint(input, end)
  else if (wire === FIXED_64) input.at += 8
  else if (wire === FIXED_32) input.at += 4
  else if (wire === LENGTH) {
    const length = readVarint(input, end)
    input.at += length
  } else throw new WireError(`a field of the unknown type ${wire}`)
  if (input.at > end) throw new WireError('a message that ends in the middle')
}
