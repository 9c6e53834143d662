import assert from 'node:assert/strict'
import { test } from 'node:test'
import { bucketsIn, numberIn } from './exposition.ts'

const text = `# TYPE a_total counter
a_total 3
a_total_more 9
b_total{server="x"} 1.5e+06
h_bucket{le="0.001"} 0
h_bucket{le="10"} 7
h_bucket{le="2.5"} 4
h_bucket{le="+Inf"} 8
h_sum 12
h_count 8
`

test('a number, with labels and without', () => {
  assert.equal(numberIn(text, 'a_total'), 3)
  assert.equal(numberIn(text, 'b_total'), 1_500_000)
  assert.equal(numberIn(text, 'c_total'), null)
  assert.equal(numberIn('a_total x\n', 'a_total'), null)
})

test('the buckets of a histogram, from the smallest on', () => {
  const rest = { le: Number.POSITIVE_INFINITY, count: 8 }
  assert.deepEqual(bucketsIn(text, 'h'), [{ le: 0.001, count: 0 }, { le: 2.5, count: 4 }, { le: 10, count: 7 }, rest])
  assert.deepEqual(bucketsIn(text, 'a_total'), [])
})
