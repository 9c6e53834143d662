import assert from 'node:assert/strict'
import { test } from 'node:test'
import { FakeClock } from '../shards/testing.ts'
import { type LastUse, LastUses } from './last-uses.ts'

function usesWith(store?: (uses: readonly LastUse[]) => void | Promise<void>) {
  const clock = new FakeClock()
  const stored: (readonly LastUse[])[] = []
  const warned: string[] = []
  const uses = new LastUses({
    clock,
    store: store ?? (given => void stored.push(given)),
    warn: message => void warned.push(message),
  })
  return { clock, stored, warned, uses }
}

test('the last use of each credential is handed on once a minute at most, and only if there was one', async () => {
  const { clock, stored, uses } = usesWith()
  await clock.pass(10 * 60_000)
  assert.deepEqual(stored, [])
  uses.note('a')
  await clock.pass(1_000)
  uses.note('a')
  uses.note('b')
  const atMs = clock.wallMs()
  await clock.pass(58_999)
  assert.deepEqual(stored, [])
  await clock.pass(1)
  assert.deepEqual(stored, [
    [
      { credential: 'a', atMs },
      { credential: 'b', atMs },
    ],
  ])
  await clock.pass(10 * 60_000)
  assert.equal(stored.length, 1)
})

test('what could not be stored is handed on again, with what came since', async () => {
  const given: string[] = []
  let isBroken = true
  const { clock, warned, uses } = usesWith(async list => {
    given.push(list.map(({ credential, atMs }) => `${credential} ${atMs}`).join(', '))
    if (isBroken) throw new Error('no store')
  })
  const beganMs = clock.wallMs()
  uses.note('a')
  uses.note('b')
  await clock.pass(60_000)
  assert.equal(warned.length, 1)
  isBroken = false
  uses.note('b')
  await clock.pass(60_000)
  assert.deepEqual(given, [`a ${beganMs}, b ${beganMs}`, `a ${beganMs}, b ${beganMs + 60_000}`])
})

test('on closing the rest is handed on, and nothing after it', async () => {
  const { clock, stored, uses } = usesWith()
  uses.note('a')
  await uses.close()
  assert.equal(stored.length, 1)
  uses.note('b')
  await uses.close()
  await clock.pass(60 * 60_000)
  assert.equal(stored.length, 1)
})
