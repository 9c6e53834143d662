/** For the tests of this room. */
import { keys, type TestEngine } from '../shards/testing.ts'
import type { MeterOptions } from './meter.ts'

/** The only shard's log, as the store has it. */
export function readFrom(engine: TestEngine): MeterOptions['read'] {
  return async function* (_shard, from) {
    const { pairs } = engine.store.list({ prefix: keys.log(0), limit: 10_000 })
    yield pairs
      .map(({ key, value }) => ({ seq: Number(key.slice(key.lastIndexOf('/') + 1)), bytes: value }))
      .filter(({ seq }) => seq >= from)
  }
}
