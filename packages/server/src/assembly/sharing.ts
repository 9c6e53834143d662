/** The embedded store for what else its user does with it while the server has it: `holdfast keys` (decision 0122). */
import type { Engine } from '../engine/engine.ts'
import type { LmdbEngine } from '../engine/lmdb/lmdb.ts'
import type { Telemetry } from '../telemetry/telemetry.ts'

/** Never rejects: the server does without. Of a store that is nobody's own there is nothing to share. */
export async function shareStore(engine: Engine, telemetry: Telemetry): Promise<void> {
  if (!('serveAt' in engine)) return
  const embedded = engine as LmdbEngine // as nothing else has it
  try {
    // On demand, for it is not needed to answer the first request.
    const { removeServed, serveEngine } = await import('../engine/served/serve.ts')
    if (embedded.formerSocket !== null) await removeServed(embedded.formerSocket)
    await embedded.serveAt(await serveEngine(embedded))
  } catch (error) {
    telemetry.warned('the store cannot be served to other processes: `holdfast keys` must wait until this one ends', {
      err: error,
    })
  }
}
