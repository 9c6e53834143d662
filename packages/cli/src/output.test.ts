import assert from 'node:assert/strict'
import { test } from 'node:test'
import { hostOf } from './access.ts'
import { safeLines } from './output.ts'

test('what others wrote does not move a cursor, but may have lines', () => {
  assert.equal(safeLines('one\n\u001b[2Jtwo\u0007\r'), 'one\n\\u001b[2Jtwo\\u0007\\u000d')
})

test('of several addresses of a service the first is its name', () => {
  assert.equal(hostOf({ url: 'https://a.example:7420, https://b.example' }), 'a.example')
  assert.equal(hostOf({ url: 'http://127.0.0.1:7420' }), '127.0.0.1')
  assert.throws(() => hostOf({ url: 'nowhere' }), /no URL/)
})
