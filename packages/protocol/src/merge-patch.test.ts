import assert from 'node:assert/strict'
import { test } from 'node:test'
import { mergePatch } from './merge-patch.ts'

type Any = Record<string, unknown>

/** The examples of RFC 7386, appendix A, that have objects on both sides; as text, so that `__proto__` is a field. */
const examples = [
  ['{"a":"b"}', '{"a":"c"}', '{"a":"c"}'],
  ['{"a":"b"}', '{"b":"c"}', '{"a":"b","b":"c"}'],
  ['{"a":"b"}', '{"a":null}', '{}'],
  ['{"a":"b","b":"c"}', '{"a":null}', '{"b":"c"}'],
  ['{"a":["b"]}', '{"a":"c"}', '{"a":"c"}'],
  ['{"a":"c"}', '{"a":["b"]}', '{"a":["b"]}'],
  ['{"a":{"b":"c"}}', '{"a":{"b":"d","c":null}}', '{"a":{"b":"d"}}'],
  ['{"a":[{"b":"c"}]}', '{"a":[1]}', '{"a":[1]}'],
  ['{"e":null}', '{"a":1}', '{"e":null,"a":1}'],
  ['{}', '{"a":{"bb":{"ccc":null}}}', '{"a":{"bb":{}}}'],
  ['{}', '{"constructor":{"a":"b"}}', '{"constructor":{"a":"b"}}'],
  ['{}', '{"__proto__":{"a":"b"}}', '{"__proto__":{"a":"b"}}'],
] as const

test('a patch is merged as RFC 7386 says, and neither side is changed', () => {
  for (const [before, patch, after] of examples) {
    const [target, change] = [JSON.parse(before) as Any, JSON.parse(patch) as Any]
    assert.equal(JSON.stringify(mergePatch(target, change)), after, `${before} + ${patch}`)
    assert.deepEqual([JSON.stringify(target), JSON.stringify(change)], [before, patch])
  }
  assert.equal(Object.hasOwn(Object.prototype, 'a'), false)
})
