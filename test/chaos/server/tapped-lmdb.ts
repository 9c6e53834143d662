/** What a server that is tapped loads instead of the engine on LMDB: the same, shown to the tap as soon as it is open. */
import { channel } from 'node:diagnostics_channel'
import { openLmdb as open } from '../../../packages/server/src/engine/lmdb/lmdb.ts'
import { TAPPED_LMDB } from './tapping.ts'

export * from '../../../packages/server/src/engine/lmdb/lmdb.ts'

export const openLmdb: typeof open = async options => {
  const engine = await open(options)
  channel(TAPPED_LMDB).publish(engine)
  return engine
}
