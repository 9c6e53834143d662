/** A process of `holder.test.ts`: says whether it got the store; keeps it until it is killed. */
import { systemClock } from '../../clock.ts'
import type { Engine } from '../engine.ts'
import { openLmdb } from './lmdb.ts'

try {
  let engine: Engine | null = await openLmdb({ path: process.argv[2] ?? '' })
  await engine.commit({ checks: [], writes: [{ key: 'key', value: new Uint8Array([1]) }] })
  // Also when nobody refers to it any more.
  engine = null
  // What is on the stack, or under way, is gone by then.
  await new Promise<void>(resolve => systemClock.afterPoll(resolve))
  gc?.()
  process.stdout.write('has it\n')
  // Something to live for.
  process.stdin.resume()
} catch (error) {
  process.stdout.write(`${error instanceof Error ? `${error.name}: ${error.message}` : error}\n`)
}
