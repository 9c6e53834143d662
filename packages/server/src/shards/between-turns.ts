/** What the owner of a shard does to its own records while nothing is in flight. Both throw `OwnershipLost` when the shard is no longer ours. */
import { OwnershipLost } from './log.ts'
import { encodeOwner, type OwnershipOptions, raiseEpoch } from './ownership.ts'
import type { Working } from './working.ts'

/** Numbers are running out: one epoch more. */
export async function raise(ownership: OwnershipOptions, shard: number, working: Working): Promise<void> {
  const raised = await raiseEpoch(ownership, shard, working.ownership)
  if (!raised) throw new OwnershipLost(shard, [])
  working.ownership = raised
  for (const state of working.states.values()) state.epoch = raised.epoch
}

/** The store has another key: the two records of which only the owner may change the revision are written once more. */
export async function sealAnew(server: string, working: Working): Promise<void> {
  const { epoch } = working.ownership
  const revision = await working.log.rewriteEnd(working.ownership, encodeOwner({ server, epoch }))
  working.ownership = { epoch, revision }
}
