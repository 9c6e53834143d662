/** Which shard an instance belongs to: the same answer on every server, for ever, as the number of shards never changes. */
export function shardOf(instance: string, shards: number): number {
  if (shards === 1) return 0
  // FNV-1a, 32 bits.
  let digest = 0x811c9dc5
  for (const byte of Buffer.from(instance)) digest = Math.imul(digest ^ byte, 0x01000193)
  return (digest >>> 0) % shards
}
