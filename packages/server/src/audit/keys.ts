/** Where the records of this room lie in the store. */

/** Of numbers in keys, so that the order of bytes is theirs. */
const SEQ_DIGITS = 16

export type AuditKeys = ReturnType<typeof auditKeysUnder>

export function auditKeysUnder(root: string) {
  return {
    /** Which segments of a shard's log there are, and where the chain begins. */
    index: (shard: number) => `${root}/archive/${shard}/index`,
    segments: (shard: number) => `${root}/archive/${shard}/log/`,
    /** Named by its first batch. */
    segment: (shard: number, first: number) =>
      `${root}/archive/${shard}/log/${String(first).padStart(SEQ_DIGITS, '0')}`,
    /** How far a sink has come, in a shard's log or (`trail`) in the administrative trail. */
    cursor: (sink: string, source: number | 'trail') => `${root}/audit/sinks/${sink}/${source}`,
  }
}
