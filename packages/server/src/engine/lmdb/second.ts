/** A process of `holder.test.ts`: says whether it got the store; keeps it until it is killed. */
import { openLmdb } from './lmdb.ts'

try {
  const engine = await openLmdb({ path: process.argv[2] ?? '' })
  await engine.commit({ checks: [], writes: [{ key: 'key', value: new Uint8Array([1]) }] })
  process.stdout.write('has it\n')
  // Something to live for.
  process.stdin.resume()
} catch (error) {
  process.stdout.write(`${error instanceof Error ? `${error.name}: ${error.message}` : error}\n`)
}
