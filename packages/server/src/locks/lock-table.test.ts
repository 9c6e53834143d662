import assert from 'node:assert/strict'
import { test } from 'node:test'
import { LockTable, UNUSED_MAX } from './lock-table.ts'

test('a lock that is free is no longer seen, whether the table keeps it or not', () => {
  const table = new LockTable()
  const lock = table.take('a')
  lock.typicalHoldMs = 7
  table.take('b')
  assert.equal(table.size, 2)
  table.free(lock)
  table.free(lock)
  assert.equal(table.get('a'), undefined)
  assert.deepEqual([...table.keys()], ['b'])
  assert.equal(table.size, 1)
  assert.equal(table.unused, 1)
})

test('a lock that is taken again knows how long it used to be held', () => {
  const table = new LockTable()
  const lock = table.take('a')
  lock.typicalHoldMs = 7
  table.free(lock)
  const again = table.take('a')
  assert.equal(again.typicalHoldMs, 7)
  assert.equal(again.isUnused, false)
  assert.equal(table.get('a'), again)
  assert.deepEqual([table.size, table.unused], [1, 0])
})

test(`the table keeps as many free locks as it is told to, by default ${UNUSED_MAX}, and not one more`, () => {
  for (const unusedMax of [3, UNUSED_MAX]) {
    const table = new LockTable({ unusedMax })
    const free = (count: number, from = 0) => {
      for (let index = from; index < from + count; index++) table.free(table.take(`name/${index}`))
    }
    free(unusedMax)
    assert.equal(table.unused, unusedMax)
    free(1, unusedMax)
    assert.equal(table.unused, unusedMax)
    free(5 * unusedMax, unusedMax)
    assert.deepEqual([table.size, table.unused], [0, unusedMax])
  }
})

test('a name that is used when its turn to be forgotten comes stays, and is remembered anew when it is free', () => {
  const table = new LockTable({ unusedMax: 2 })
  const free = (name: string) => table.free(table.take(name))
  free('kept')
  const kept = table.take('kept')
  for (const name of ['a', 'b', 'c', 'd']) free(name)
  assert.equal(table.get('kept'), kept)
  assert.deepEqual([table.size, table.unused], [1, 2])
  table.free(kept)
  assert.equal(table.take('kept'), kept)
})

test('of a table that rests the free locks go, and those in use stay', () => {
  const table = new LockTable()
  const used = table.take('used')
  for (let index = 0; index < 100; index++) table.free(table.take(`free/${index}`))
  table.free(table.take('again'))
  const again = table.take('again')
  table.rest()
  assert.deepEqual([table.size, table.unused, table.get('used'), table.get('again')], [2, 0, used, again])
  table.free(again)
  table.free(table.take('free/1'))
  assert.deepEqual([table.size, table.unused, [...table.keys()]], [1, 2, ['used']])
})
