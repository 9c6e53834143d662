/** Where the records of the shards lie in the store (DESIGN 3.2). */

/** What the keys of the store begin with. */
export const STORE_ROOT = 'holdfast'

/** Of the numbers in the keys of a log, so that the order of bytes is theirs. 2^53 has sixteen digits. */
const SEQ_DIGITS = 16

export type Keys = {
  root: string
  meta: string
  members: string
  /** Of the registry's records, whose ids follow: it is the registry that writes them. */
  instances: string
  member(server: string): string
  owner(shard: number): string
  log(shard: number): string
  batch(shard: number, seq: number): string
}

export function keysUnder(root: string): Keys {
  return {
    root,
    meta: `${root}/meta`,
    members: `${root}/members/`,
    instances: `${root}/registry/records/instance/`,
    member: server => `${root}/members/${server}`,
    owner: shard => `${root}/shards/${shard}/owner`,
    log: shard => `${root}/shards/${shard}/log/`,
    batch: (shard, seq) => `${root}/shards/${shard}/log/${String(seq).padStart(SEQ_DIGITS, '0')}`,
  }
}

/**
 * Who may write the record at this key once more, as it is, so that the store seals it under its present key: holders of owner and member records go by
 * their revisions, and the next append of a log by that of its newest batch. Everything else anybody may.
 */
export function resealingUnder(root: string): (key: string) => 'anybody' | 'holder' | { last: string } {
  return key => {
    const path = key.slice(root.length)
    if (path.startsWith('/members/') || /^\/shards\/\d+\/owner$/.test(path)) return 'holder'
    const log = /^\/shards\/\d+\/log\//.exec(path)
    return log ? { last: `${root}${log[0]}` } : 'anybody'
  }
}
