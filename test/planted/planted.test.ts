/**
 * The short form of `npm run planted`: the table fits the sources, every rule has a bug, and the first bug of each rule is found. That the tests
 * are green without them is for the rest of `npm test` to say.
 */
import { strict as assert } from 'node:assert'
import { existsSync } from 'node:fs'
import { join } from 'node:path'
import { test } from 'node:test'
import { bugs } from './bugs.ts'
import { find, staleness } from './find.ts'
import { root } from './run.ts'

const numbered = (letter: string, numbers: number[]) => numbers.map(number => `${letter}${number}`)
const upTo = (count: number) => Array.from({ length: count }, (_, index) => index + 1)

/** What one server can break. The repairs that are left out concern several, or a restore. */
const rules = [
  ...numbered('P', upTo(16)),
  ...numbered('O', [1, 2, 3, 5, 6, 7, 8, 9, 10, 11, 12, 14]),
  ...numbered('I', upTo(22)),
]

test('every row of the table fits the sources', () => {
  assert.deepEqual(
    bugs.flatMap(bug => staleness(bug) ?? []),
    [],
  )
  assert.deepEqual(
    bugs.filter(bug => !existsSync(join(root, bug.test.file))).map(bug => bug.test.file),
    [],
  )
  assert.equal(new Set(bugs.map(bug => bug.id)).size, bugs.length, 'an id stands for one bug')
})

test('every rule has a bug that breaks it', () => {
  const broken = new Set(bugs.flatMap(bug => bug.rules))
  assert.deepEqual(
    rules.filter(rule => !broken.has(rule)),
    [],
  )
})

/** One that stands for the rule, if there is one. */
const first = new Set(
  rules.flatMap(rule => bugs.find(bug => bug.rules[0] === rule) ?? bugs.find(bug => bug.rules.includes(rule)) ?? []),
)

for (const bug of first) {
  test(`${bug.id} is found (${bug.rules.join(' ')})`, async t => {
    const { verdict, message } = await find(bug)
    if (verdict === 'skipped here') return t.skip(message)
    assert.equal(verdict, 'found', message)
  })
}
