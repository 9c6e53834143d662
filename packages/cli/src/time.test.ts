import assert from 'node:assert/strict'
import { test } from 'node:test'
import { parseTime, timeOf } from './time.ts'

test('a time is what ISO 8601 says, and a day begins in UTC', () => {
  assert.equal(parseTime('2027-01-02T08:00:00Z'), '2027-01-02T08:00:00.000Z')
  assert.equal(parseTime('2027-01-02T08:00:00.25+02:00'), '2027-01-02T06:00:00.250Z')
  assert.equal(parseTime('2027-01-02'), '2027-01-02T00:00:00.000Z')
  assert.equal(timeOf('2027-01-02T08:00')?.getTime(), new Date(2027, 0, 2, 8).getTime())
})

test('what Date would make a time of is none', () => {
  for (const text of [
    '45',
    '5',
    '2027',
    'May 5',
    '1/2/2027',
    '2027-02-30',
    '2027-13-01',
    '2027-01-02T25:00Z',
    '',
    'x 1',
  ]) {
    assert.equal(timeOf(text), undefined, text)
    assert.throws(() => parseTime(text), /like 2026-11-21T06:00:00Z/)
  }
})
