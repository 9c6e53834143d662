/** Somebody else's data in an etcd that Holdfast uses: it takes room that Holdfast did not ask for. One value is written over and over, and its old revisions stay. */
import { setTimeout as sleep } from 'node:timers/promises'
import { EngineRefusal } from '../../packages/server/src/engine/engine.ts'
import { EtcdError } from '../../packages/server/src/engine/etcd/errors.ts'
import type { EtcdEngine } from '../../packages/server/src/engine/etcd/etcd.ts'

const VALUE = Buffer.alloc(128 * 1024)
/** A member tells its size as of what it last wrote to disk, every 100 ms: what came since is not in it. */
const SEEN_MS = 200
/** Of the way to the middle between what was asked for and all of it: three sizes in a row may be out of date, and etcd still has room. */
const STEP = 1 / 3

/** Until this share of the quota is used, and less than all of it. */
export async function fill(filler: EtcdEngine, share: number): Promise<void> {
  for (;;) {
    const { usedBytes, quotaBytes } = await filler.size()
    const all = quotaBytes! // a filler is opened with its quota
    if (usedBytes >= share * all) return
    const stepBytes = (((share + 1) / 2) * all - usedBytes) * STEP
    for (let bytes = 0; bytes < stepBytes; bytes += VALUE.length) await write(filler)
    await sleep(SEEN_MS)
  }
}

/** Until etcd takes no more. */
export async function fillUp(filler: EtcdEngine): Promise<void> {
  try {
    for (;;) await write(filler)
  } catch (error) {
    // A write without a condition has no known outcome then, which is not what is asked here.
    if (!(error instanceof EngineRefusal || (error instanceof EtcdError && error.kind === 'no_space'))) throw error
  }
}

async function write(filler: EtcdEngine): Promise<void> {
  await filler.commit({ checks: [], writes: [{ key: 'foreign', value: VALUE }] })
}
