/** The newest of each chain: what is kept elsewhere, so that whoever cuts a chain short, or writes it anew, is found out. */
import type { EngineReads } from '../engine/engine.ts'
import { decodeHead, type RegistryKeys } from '../registry/store.ts'
import { hashBatch } from '../shards/batch.ts'
import type { ChainHead, ChainSources } from './chain.ts'
import { LogReader } from './reading.ts'

export async function newestLinkOf(engine: EngineReads, keys: RegistryKeys): Promise<number> {
  const pair = await engine.read(keys.head)
  return pair ? decodeHead(pair.value).seq : 0
}

export async function newestOf(sources: ChainSources): Promise<ChainHead[]> {
  const { engine, registryKeys, shards } = sources
  const heads: ChainHead[] = []
  for (let shard = 0; shard < shards; shard++) {
    for await (const [newest] of new LogReader({ ...sources, shard }).backward(Number.MAX_SAFE_INTEGER - 1)) {
      if (!newest) continue
      heads.push({ chain: `shard ${shard}`, seq: newest.seq, hash: hashBatch(newest.bytes) })
      break
    }
  }
  const pair = await engine.read(registryKeys.head)
  if (pair) {
    const { seq, hash } = decodeHead(pair.value)
    heads.push({ chain: 'trail', seq, hash })
  }
  return heads
}
