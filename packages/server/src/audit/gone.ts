/** Instances that are gone: what the registry said of them stands in the trail, in the links that wrote their records. */
import type { Clock } from '../clock.ts'
import type { EngineReads } from '../engine/engine.ts'
import type { InstanceRecord } from '../registry/records.ts'
import { decodeLink, type RegistryKeys } from '../registry/store.ts'
import { newestLinkOf } from './heads.ts'
import { Budget, linksUpTo } from './scanning.ts'

type Sources = { engine: EngineReads; clock: Clock; keys: RegistryKeys }

/** Text of links that one look goes through. Somebody waits for it. */
const SCAN_BYTES = 16 * 1024 * 1024

/** The newest record of each, by its id, from the newest link backwards. */
export async function instancesInTrail(
  { engine, clock, keys }: Sources,
  ids: readonly string[],
): Promise<Map<string, InstanceRecord>> {
  const found = new Map<string, InstanceRecord>()
  const wanted = new Set(ids)
  const budget = new Budget(SCAN_BYTES, clock)
  let next = wanted.size === 0 ? 0 : await newestLinkOf(engine, keys)
  while (next > 0 && wanted.size > 0) {
    const links = await linksUpTo(engine, keys, next)
    if (links.length === 0) break
    for (const { seq, bytes } of links) {
      await budget.spend(bytes.byteLength)
      for (const { kind, id, value } of decodeLink(bytes).writes)
        if (kind === 'instance' && value && wanted.delete(id)) found.set(id, value)
      if (budget.isUsedUp) return found
      next = seq - 1
    }
  }
  return found
}
