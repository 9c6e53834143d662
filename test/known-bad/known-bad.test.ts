/** The short form of `npm run known-bad`: one stop of a holder, of the simplest known-bad system and of ours. And what is counted, by hand. */
import { strict as assert } from 'node:assert'
import { test } from 'node:test'
import type { Said } from './client.ts'
import { count } from './judged.ts'
import { run } from './run.ts'
import { systems } from './systems.ts'
import { isAsExpected } from './verdict.ts'

for (const name of ['set-nx-px', 'holdfast'] as const) {
  const system = systems.find(one => one.name === name)!
  const expected = system.isKnownBad ? 'is caught' : 'takes no stale write'
  test(`${system.title}, whose holder is stopped for longer than it may hold, ${expected}`, async t => {
    const result = await run(system, { seconds: 1 })
    if (typeof result === 'string') return t.skip(result)
    assert.ok(isAsExpected(result), JSON.stringify(result))
  })
}

test('two believers, stale writes taken and stale writes refused are counted apart', () => {
  const said: Said[] = [
    { at: 1, client: 'a', grant: 1, say: 'granted', token: 0 },
    { at: 2, client: 'a', grant: 1, say: 'checked' },
    { at: 5, client: 'b', grant: 1, say: 'granted', token: 0 },
    { at: 6, client: 'a', grant: 1, say: 'checked' },
    { at: 7, client: 'b', grant: 1, say: 'checked' },
    { at: 8, client: 'b', grant: 1, say: 'ended', isOwnWill: true },
    { at: 9, client: 'a', grant: 1, say: 'checked' },
  ]
  const attempt = (client: string, isAccepted: boolean) => ({ client, grant: 1, token: 0, isAccepted })
  const attempts = [attempt('a', true), attempt('b', true), attempt('a', true), attempt('a', false)]
  assert.deepEqual(count(said, attempts), { grants: 2, writes: 4, believers: 1, stale: 1, refused: 1, failed: 0 })
})
