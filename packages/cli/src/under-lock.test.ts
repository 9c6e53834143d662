import { strict as assert } from 'node:assert'
import { readFileSync } from 'node:fs'
import { test } from 'node:test'
import { beliefMs } from '../../client/src/belief.ts'
import { stopMsOf } from './under-lock.ts'

/** When the next renewal is due (client/src/renewal.ts): so old the last one can be when the server goes. */
const HEARTBEAT_OF_TTL = 1 / 3

test('operations.md says how long a server may be away', () => {
  const page = readFileSync(new URL('../../../docs/operations.md', import.meta.url), 'utf8')
  const rows = [...page.matchAll(/^\| (\d+) s[^|]*\| ([\d.]+) s \| ([\d.]+) s \|$/gm)]
  assert.ok(rows.length >= 3, `${rows}`)
  for (const [, ttl, library, run] of rows) {
    const ttlMs = Number(ttl) * 1_000
    const fullMs = beliefMs({ ttlMs })
    const libraryMs = fullMs - ttlMs * HEARTBEAT_OF_TTL
    assert.deepEqual([library, run], [seconds(libraryMs), seconds(libraryMs - stopMsOf(fullMs))], `TTL ${ttl} s`)
  }
})

/** Rather a tenth too little. */
function seconds(ms: number): string {
  return (Math.floor(ms / 100) / 10).toFixed(1)
}
