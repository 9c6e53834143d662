import assert from 'node:assert/strict'
import { test } from 'node:test'
import { randomHex, systemRandom } from './random.ts'

test('bytes are drawn once, whatever their number', () => {
  const seen = new Set<string>()
  for (let draw = 0; draw < 2_000; draw++) seen.add(randomHex(systemRandom, 16))
  assert.equal(seen.size, 2_000)
  for (const count of [0, 1, 4_095, 4_096, 4_097, 100_000]) assert.equal(systemRandom.bytes(count).length, count)
  const kept = systemRandom.bytes(32)
  const copy = Buffer.from(kept)
  for (let draw = 0; draw < 300; draw++) systemRandom.bytes(32)
  assert.deepEqual(Buffer.from(kept), copy)
})
