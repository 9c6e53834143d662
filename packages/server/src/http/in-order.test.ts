import assert from 'node:assert/strict'
import { test } from 'node:test'
import { ASKED_MAX, InOrder } from './in-order.ts'

/** Numbers, of which those that are odd are known at once; of the others when the test says so. */
function played() {
  const taken: number[] = []
  const asked: (() => void)[] = []
  const order = new InOrder<number, boolean>({
    ask: number => number % 2 === 1 || new Promise(resolve => asked.push(() => resolve(true))),
    take: number => taken.push(number),
  })
  return { order, taken, asked }
}

const turn = () => new Promise(resolve => setImmediate(resolve))

test('what is known is taken at once, and behind what is not, in its turn', async () => {
  const { order, taken, asked } = played()
  order.add(1)
  assert.deepEqual(taken, [1])
  for (const number of [2, 3, 4]) order.add(number)
  assert.equal(order.waiting, 2)
  asked[1]?.()
  await turn()
  assert.deepEqual(taken, [1])
  asked[0]?.()
  await turn()
  assert.deepEqual(taken, [1, 2, 3, 4])
  order.add(5)
  assert.deepEqual(taken, [1, 2, 3, 4, 5])
})

test('many are asked about at once, and no more than ASKED_MAX before they are taken', async () => {
  const { order, taken, asked } = played()
  const numbers = Array.from({ length: 10 * ASKED_MAX }, (_, place) => 2 * place)
  for (const number of numbers) order.add(number)
  let rounds = 0
  for (; taken.length < numbers.length; rounds++) {
    assert.ok(asked.length <= ASKED_MAX + 1)
    for (const answer of asked.splice(0)) answer()
    await turn()
  }
  assert.ok(rounds <= 25, String(rounds))
  assert.deepEqual(taken, numbers)
})
