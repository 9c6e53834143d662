import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { Member } from './calls.ts'
import { followed, isAsAdvertised } from './following.ts'

const member = (name: string, clientURLs: string[], isLearner = false): Member => {
  return { id: 1n, name, peerURLs: [], clientURLs, isLearner }
}
const a = 'https://10.0.0.1:2379'
const b = 'https://10.0.0.2:2379'
const c = 'https://10.0.0.3:2379'

test('the list is believed only where members are reached as they advertise themselves', () => {
  const members = [member('a', [a]), member('b', [`${b}/`])]
  assert.equal(isAsAdvertised([a, b], members), true)
  assert.equal(isAsAdvertised([a], members), true)
  assert.equal(isAsAdvertised([a, 'https://proxy:2379'], members), false)
})

test('new members are asked, former ones no more, and those that still learn not yet', () => {
  assert.deepEqual(followed([a, b], [member('b', [b]), member('c', [c])]), [b, c])
  assert.deepEqual(followed([a], [member('a', [a]), member('c', [c], true), member('d', [])]), [a])
})

test('of several addresses of one member that is kept which is in use', () => {
  assert.deepEqual(followed([b], [member('a', [a, b])]), [b])
  assert.deepEqual(followed([c], [member('a', [a, b])]), [a])
})
