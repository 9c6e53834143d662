/** A process of `two-writers.test.ts`: adds one to a number in the store, again and again, under a check that it is as it was read. */
import { openLmdb } from './lmdb.ts'

const [, , path = '', times = '0'] = process.argv
const engine = await openLmdb({ path })
for (let counted = 0; counted < Number(times); ) {
  const pair = await engine.read('count')
  const value = Buffer.from(String(Number(Buffer.from(pair?.value ?? []).toString() || 0) + 1))
  const { ok } = await engine.commit({
    checks: [{ key: 'count', modRevision: pair?.modRevision ?? 0 }],
    writes: [{ key: 'count', value }],
  })
  if (ok) counted++
}
await engine.close()
