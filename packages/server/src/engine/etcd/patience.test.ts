import assert from 'node:assert/strict'
import { test } from 'node:test'
import { Patience } from './patience.ts'

test('attempts that were under way together and are all given up make it wait longer once, not once for each', () => {
  const patience = new Patience()
  const first = patience.ms
  for (let attempt = 0; attempt < 20; attempt++) patience.gaveUp(first)
  assert.equal(patience.ms, first * 1.5)
  const second = patience.ms
  for (let attempt = 0; attempt < 20; attempt++) patience.gaveUp(second)
  assert.equal(patience.ms, first * 1.5 * 1.5)
})

test('a store that stays slow is waited for, up to a bound; one that answers is soon expected to again', () => {
  const patience = new Patience()
  const first = patience.ms
  for (let attempt = 0; attempt < 20; attempt++) patience.gaveUp(patience.ms)
  assert.equal(patience.ms, 5_000)
  patience.answered(700)
  assert.equal(patience.ms, 2_100)
  patience.answered(10)
  assert.equal(patience.ms, first)
})
