/** For the tests of this room. */
import { instanceRecord } from '../registry/testing.ts'
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

/** Of `FakeClock`. */
export const startMs = Date.UTC(2030, 0, 1)
export const instance = (id: string, plan: string, capacityUnits: number, fromMs = startMs) => ({
  kind: 'instance' as const,
  id,
  value: instanceRecord({ id, plan, capacityUnits, history: [{ plan, capacityUnits, fromMs }] }),
})
