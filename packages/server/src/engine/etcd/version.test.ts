import assert from 'node:assert/strict'
import { test } from 'node:test'
import { judgeVersion } from './version.ts'

const stale = /old data/
const rights = /authorisation/

const cases: [version: string, refused: boolean, ...warnings: RegExp[]][] = [
  ['3.4.42', true],
  ['3.3.0', true],
  ['nonsense', true],
  ['3.5.0', false, stale, rights],
  ['3.5.27', false, stale, rights],
  ['3.5.28', false, rights],
  ['3.5.33', false],
  ['3.6.8', false, stale, rights],
  ['3.6.9-rc.1', false, rights],
  ['3.6.14', false],
  ['3.7.0', false, rights],
  ['3.7.1', false],
  ['4.0.0', false],
]

for (const [version, isRefused, ...expected] of cases) {
  test(`etcd ${version} is ${isRefused ? 'refused' : `taken with ${expected.length} warnings`}, and told why`, () => {
    const { refusal, warnings } = judgeVersion(version)
    assert.equal(refusal !== null, isRefused)
    assert.equal(warnings.length, expected.length)
    for (const [index, pattern] of expected.entries()) assert.match(warnings[index]!, pattern)
  })
}
