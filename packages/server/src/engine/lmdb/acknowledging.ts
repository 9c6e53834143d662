/** A process of `syncing.test.ts`: writes, and says of each commit when it was told that it is durable. */
import { writeSync } from 'node:fs'
import { openLmdb } from './lmdb.ts'

const COMMITS = 20

const engine = await openLmdb({ path: process.argv[2] ?? '' })
for (let index = 0; index < COMMITS; index++) {
  writeSync(1, `begin ${index}\n`)
  const { ok } = await engine.commit({ checks: [], writes: [{ key: 'key', value: new Uint8Array(100).fill(index) }] })
  writeSync(1, `${ok ? 'acknowledged' : 'refused'} ${index}\n`)
}
await engine.close()
