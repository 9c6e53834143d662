import assert from 'node:assert/strict'
import { test } from 'node:test'
import { hostOf } from './access.ts'
import { safe, safeLines } from './output.ts'

test('what others wrote does not move a cursor, but may have lines', () => {
  assert.equal(safeLines('one\n\u001b[2Jtwo\u0007\r'), 'one\n\\u001b[2Jtwo\\u0007\\u000d')
})

test('what others wrote does not read as something else', () => {
  for (const code of [0x61c, 0x200e, 0x200f, 0x202a, 0x202b, 0x202c, 0x202d, 0x202e, 0x2066, 0x2067, 0x2068, 0x2069])
    assert.equal(safe(`a${String.fromCodePoint(code)}b`), `a\\u${code.toString(16).padStart(4, '0')}b`)
  // Writing from right to left is no trick, and emoji of several parts are one.
  for (const text of ['مرحبا', 'שלום', '👩‍💻', 'Grüße']) assert.equal(safe(text), text)
})

test('of several addresses of a service the first is its name', () => {
  assert.equal(hostOf({ url: 'https://a.example:7420, https://b.example' }), 'a.example')
  assert.equal(hostOf({ url: 'http://127.0.0.1:7420' }), '127.0.0.1')
  assert.throws(() => hostOf({ url: 'nowhere' }), /no URL/)
})
