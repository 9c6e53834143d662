/** Where a check of the chains has come; plain data, as it travels as a cursor. */
export type Progress = {
  shard: number
  part: 'archive' | 'log' | 'trail'
  /** Of what has been checked last; -1: nothing yet. */
  seq: number
  hash: string
  /** Where the archive of the shard ends. */
  archivedSeq: number
  archivedHash: string
}

export const beginning: Progress = { shard: 0, part: 'archive', seq: -1, hash: '', archivedSeq: -1, archivedHash: '' }

/** As a cursor. */
export function progressText({ shard, part, seq, hash: own, archivedSeq, archivedHash }: Progress): string {
  return [shard, part, seq, own, archivedSeq, archivedHash].join('.')
}

/** null: it is none. */
export function parseProgress(text: string): Progress | null {
  const pattern = /^(\d{1,4})\.(archive|log|trail)\.(-1|\d{1,16})\.([\w-]{0,64})\.(-1|\d{1,16})\.([0-9a-f]{0,64})$/
  const [whole, shard, part, seq, own = '', archivedSeq, archivedHash = ''] = pattern.exec(text) ?? []
  if (whole === undefined) return null
  // One of the three, by the pattern.
  const named = part as Progress['part']
  return {
    shard: Number(shard),
    part: named,
    seq: Number(seq),
    hash: own,
    archivedSeq: Number(archivedSeq),
    archivedHash,
  }
}
