import assert from 'node:assert/strict'
import { test } from 'node:test'
import { methods } from './messages.ts'
import { decode, encode, many, message, one, WireError } from './wire.ts'

const inner = message({ name: one(1, 'string'), id: one(2, 'uint64') })
const outer = message({
  flag: one(1, 'bool'),
  revision: one(2, 'int64'),
  blob: one(3, 'bytes'),
  child: one(4, inner),
  children: many(5, inner),
  words: many(16, 'string'),
})

test('a message is what the format says, byte by byte', () => {
  const bytes = encode(outer, {
    flag: true,
    revision: 300,
    blob: Buffer.from('é'),
    child: { name: 'a' },
    words: ['x', ''],
  })
  assert.equal(bytes.toString('hex'), '0801' + '10ac02' + '1a02c3a9' + '22030a0161' + '820101' + '78' + '820100')
})

test('what was encoded is decoded to the same, at the edges of every type', () => {
  for (const revision of [0, 1, 127, 128, 2 ** 31, 2 ** 32, 2 ** 53 - 1]) {
    for (const id of [0n, 127n, 2n ** 63n, 2n ** 64n - 1n]) {
      const value = {
        flag: revision % 2 === 1,
        revision,
        blob: Buffer.alloc(revision % 300, 7),
        child: { name: '\u{1f512}', id },
        children: [
          { name: '', id: 0n },
          { name: 'b', id },
        ],
        words: [],
      }
      assert.deepEqual(decode(outer, encode(outer, value)), value)
    }
  }
})

test('what is absent is zero, empty or null', () => {
  const empty = { flag: false, revision: 0, blob: Buffer.alloc(0), child: null, children: [], words: [] }
  assert.deepEqual(decode(outer, Buffer.alloc(0)), empty)
})

test('fields that nobody has described are skipped, of whatever type', () => {
  const unknown = Buffer.from('5805' + '610102030405060708' + '6a03616263' + '7501020304', 'hex')
  const known = encode(outer, { revision: 5 })
  assert.equal(decode(outer, Buffer.concat([unknown, known, unknown])).revision, 5)
})

test('a number that is not held exactly is an error, never another number', () => {
  assert.throws(() => encode(outer, { revision: 2 ** 53 }), RangeError)
  assert.throws(() => encode(outer, { revision: -1 }), RangeError)
  const large = Buffer.from('10' + '8080808080808010', 'hex') // 2^53
  assert.throws(() => decode(outer, large), WireError)
  assert.throws(() => decode(outer, Buffer.from('1080808080808080808001', 'hex')), WireError) // -2^63
  assert.equal(decode(outer, Buffer.from('10ffffffffffffffffff01', 'hex')).revision, -1)
})

test('a message that is cut off, or claims more than there is, is an error', () => {
  const whole = encode(outer, { revision: 300, blob: Buffer.from('abc'), child: { name: 'a', id: 2n ** 60n } })
  // At the end of a field a shorter message is a message.
  const isWhole = new Set([0, 3, 8, whole.length])
  for (let length = 0; length < whole.length; length++) {
    if (isWhole.has(length)) decode(outer, whole.subarray(0, length))
    else assert.throws(() => decode(outer, whole.subarray(0, length)), WireError, `cut at ${length}`)
  }
  assert.throws(() => decode(outer, Buffer.from('1affffffff0f', 'hex')), WireError)
  assert.throws(() => decode(outer, Buffer.from('0a01', 'hex')), WireError)
})

test('values of a reply are views of it, and the largest commit is written once', () => {
  const value = Buffer.alloc(1024 * 1024, 1)
  const bytes = encode(methods.txn.request, { success: [{ requestPut: { key: Buffer.from('k'), value } }] })
  assert.ok(bytes.length > value.length && bytes.length < value.length + 64)
  const [operation] = decode(methods.txn.request, bytes).success
  assert.equal(operation?.requestPut?.value.buffer, bytes.buffer)
})
