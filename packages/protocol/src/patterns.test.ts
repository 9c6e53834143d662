import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import { LOCK_NAME_BYTES_MAX } from './limits.ts'
import { compilePattern, coversUnder, matches, mayMatchUnder, PATTERN_STARS_MAX, patternMisfit } from './patterns.ts'

/** The definition, as directly as it can be written. */
function naive(pattern: readonly string[], name: readonly string[]): boolean {
  const [sign, ...rest] = pattern
  if (sign === undefined) return name.length === 0
  if (sign === '*') return naive(rest, name) || (name.length > 0 && naive(pattern, name.slice(1)))
  return name.length > 0 && (sign === '?' || sign === name[0]) && naive(rest, name.slice(1))
}

// Few characters, so that much matches; one beyond the first plane, whose halves must never be taken for characters.
const letters = ['a', 'b', '/', '😀', '😁']
const names = fc.array(fc.constantFrom(...letters), { maxLength: 7 }).map(list => list.join(''))
const patterns = fc
  .array(fc.constantFrom(...letters, '*', '?', '*'), { minLength: 1, maxLength: 6 })
  .map(list => list.join(''))

test('a pattern matches what its definition says, and no other name', () => {
  fc.assert(
    fc.property(patterns, names, (pattern, name) => {
      assert.equal(matches(compilePattern(pattern), name), naive([...pattern], [...name]), `${pattern} ${name}`)
    }),
    { numRuns: 5_000 },
  )
})

/** All names of up to `length` characters, of these: one is in no pattern. */
function allNames(length: number): string[] {
  const characters = ['a', 'b', '/', '😀', 'x']
  let last = ['']
  const all = ['']
  for (let size = 1; size <= length; size++) {
    last = last.flatMap(name => characters.map(character => name + character))
    all.push(...last)
  }
  return all
}

test('whether some or all names under a prefix match is what trying them says', () => {
  const rests = allNames(4)
  const few = fc
    .array(fc.constantFrom('a', 'b', '*', '?', '/'), { minLength: 1, maxLength: 4 })
    .map(list => list.join(''))
  const prefixes = fc.array(fc.constantFrom('a', 'b', '/', '😀'), { maxLength: 3 }).map(list => list.join(''))
  fc.assert(
    fc.property(few, prefixes, (text, prefix) => {
      const pattern = compilePattern(text)
      const found = rests.map(rest => matches(pattern, prefix + rest))
      assert.equal(mayMatchUnder(pattern, prefix), found.includes(true), `some: ${text} under ${prefix}`)
      assert.equal(coversUnder(pattern, prefix), !found.includes(false), `all: ${text} under ${prefix}`)
    }),
    { numRuns: 300 },
  )
})

test('names that look alike are not the same', () => {
  const nfc = '\u00e9'
  const nfd = 'e\u0301'
  const alike: [string, string[]][] = [
    ['a/b', ['a%2Fb', 'a%2fb', 'A/b', 'a//b', 'a/b/', '/a/b', 'a/./b', 'a/c/../b', 'ab', 'a\u2215b', 'a/b ', 'a\\b']],
    [`caf${nfc}`, [`caf${nfd}`, 'cafe', `CAF${nfc}`]],
    ['a', ['A', '\uff41', '\u0430', 'a ', ' a', 'aa', '']],
    ['..', ['.', '...', '%2e%2e', '../', '*', '?']],
    ['a+b(c).d[e]^$|{1}\\', ['aab(c).d[e]^$|{1}\\', 'a+b(c)xd[e]^$|{1}\\']],
  ]
  for (const [text, others] of alike) {
    assert.ok(matches(compilePattern(text), text))
    for (const name of others) assert.ok(!matches(compilePattern(text), name), `${text} is not ${name}`)
  }
  assert.ok(matches(compilePattern('a/*'), 'a/b/../../secret'), 'a name is no path: nothing is resolved')
  assert.ok(!matches(compilePattern('a/*'), 'a'))
  assert.ok(!matches(compilePattern('a/*'), 'a%2Fb'))
})

test('`?` is one character, whatever it takes to write it', () => {
  for (const [text, name, fits] of [
    ['?', '😀', true],
    ['??', '😀', false],
    ['?', 'ab', false],
    ['?', '', false],
    ['a?c', 'a/c', true],
    ['e?', 'e\u0301', true],
    ['*?', '', false],
    ['**', '', true],
  ] as const)
    assert.equal(matches(compilePattern(text), name), fits, `${text} ${name}`)
})

test('a pattern of LOCK_NAME_BYTES_MAX characters or PATTERN_STARS_MAX stars is fit, one more is not, nor is what no name can be', () => {
  assert.equal(patternMisfit('a'.repeat(LOCK_NAME_BYTES_MAX)), null)
  assert.match(patternMisfit('a'.repeat(LOCK_NAME_BYTES_MAX + 1)) ?? '', /256/)
  assert.equal(patternMisfit('a*'.repeat(PATTERN_STARS_MAX)), null)
  assert.match(patternMisfit('a*'.repeat(PATTERN_STARS_MAX + 1)) ?? '', /8/)
  assert.match(patternMisfit('') ?? '', /empty/)
  assert.match(patternMisfit('a\ud800') ?? '', /well-formed/)
})

test('the worst pattern on the longest name takes steps that can be counted', () => {
  const pattern = compilePattern(`${'*a'.repeat(PATTERN_STARS_MAX - 1)}*b`)
  assert.equal(matches(pattern, 'a'.repeat(256)), false)
})
