/**
 * What a server promises, and on what ground: its beats, the shards that it takes and gives up, each turn that it answers. Whoever stands between it and
 * its store hands over its commits here, before they are sent and when their outcome is known; `promises.ts` judges what is told.
 *
 * What was sent is timed before, what is known after, so that in doubt a promise is late and its ground is early: nothing is excused by whoever listens.
 */
import type { CommitRequest, CommitResult, Write } from '../../packages/server/src/engine/engine.ts'
import { decodeBatch, hashBatch } from '../../packages/server/src/shards/batch.ts'
import { decodeOwner } from '../../packages/server/src/shards/ownership.ts'

/** `t`: ms on a clock that is common to all servers. */
export type Told = {
  t: number
} /** A process begins; those before it on the same data are gone. */ & (
  | { e: 'start'; pid: number }
  /** Its member record is in the store as it was sent at `from`, or rather a little later. */
  | { e: 'beat'; from: number }
  /** It takes its member record away: it has given up what it had, and answers nothing any more. */
  | { e: 'left' }
  /** The owner record of a shard is as this process wrote it; or, where `server` is empty, it begins to give the shard up. */
  | { e: 'owner'; shard: number; server: string; epoch: number; from: number }
  /** The first batch that it hands to the store after it has taken a shard: it has read the log up to the one before. */
  | { e: 'opened'; shard: number; epoch: number; seq: number }
  /** What was asked in a turn was answered. `at`: when it had been received and was about to be decided. */
  | { e: 'answered'; shard: number; epoch: number; seq: number; asked: number; isLogged: boolean; at: number }
  /** A commit that touches a log is handed to the store: the batch that it appends, by its hash, and what it deletes. Whether it came to be, the log says. */
  | { e: 'log'; shard: number; appended: { seq: number; hash: string } | null; deleted: { from: string; to: string }[] }
)

/** `Omit` of a union keeps no union. */
export type ToTell = Told extends infer One ? (One extends Told ? Omit<One, 't'> : never) : never

const MEMBER = /\/members\/[^/]+$/
const LOG = /\/shards\/(\d+)\/log\//
const BATCH = /\/shards\/(\d+)\/log\/\d+$/
const OWNER = /\/shards\/(\d+)\/owner$/
/** Values whose outcome is not known: a process has few at a time. */
const SENT_MAX = 64

export class Promising {
  readonly #nowMs: () => number
  readonly #tell: (line: ToTell) => void
  readonly #tellsLog: boolean
  /** By key and value, when each was sent for the first time: it may have been written then. */
  readonly #sent = new Map<string, number>()
  /** Of its own member record. */
  #memberKey = ''
  /** Shards that were taken, and nothing was appended to since. */
  readonly #taken = new Set<number>()

  constructor(nowMs: () => number, tell: (line: ToTell) => void, { tellsLog }: { tellsLog: boolean }) {
    this.#nowMs = nowMs
    this.#tell = tell
    this.#tellsLog = tellsLog
  }

  readonly handed = ({ writes }: CommitRequest): void => {
    for (const write of writes) {
      this.#appends(write)
      this.#leaves(write)
      const name = nameOf(write)
      if (name === null || this.#sent.has(name) || !('value' in write)) continue
      this.#sent.set(name, this.#nowMs())
      const left = owned(write)
      // Whatever becomes of it: nothing is answered any more.
      if (left?.server === '') this.#tell({ e: 'owner', ...left, from: this.#nowMs() })
      const oldest = this.#sent.keys().next().value
      if (this.#sent.size > SENT_MAX && oldest !== undefined) this.#sent.delete(oldest)
    }
    if (this.#tellsLog) this.#log(writes)
  }

  /** Others take away the records of the dead. */
  #leaves(write: Write): void {
    if (!('key' in write)) return
    if ('value' in write && MEMBER.test(write.key)) this.#memberKey = write.key
    else if (!('value' in write) && write.key === this.#memberKey) this.#tell({ e: 'left' })
  }

  #appends(write: Write): void {
    const shard = 'value' in write ? BATCH.exec(write.key)?.[1] : undefined
    if (shard === undefined || !('value' in write) || !this.#taken.delete(Number(shard))) return
    const { epoch, seq } = decodeBatch(write.value)
    this.#tell({ e: 'opened', shard: Number(shard), epoch, seq })
  }

  #log(writes: readonly Write[]): void {
    for (const write of writes) {
      const shard = 'value' in write ? BATCH.exec(write.key)?.[1] : undefined
      if (shard === undefined || !('value' in write)) continue
      const appended = { seq: decodeBatch(write.value).seq, hash: hashBatch(write.value) }
      this.#tell({ e: 'log', shard: Number(shard), appended, deleted: deletedBy(writes) })
      return
    }
    const deleted = deletedBy(writes)
    const shard = LOG.exec(deleted[0]?.from ?? '')?.[1]
    if (shard !== undefined) this.#tell({ e: 'log', shard: Number(shard), appended: null, deleted })
  }

  readonly settled = ({ writes, checks }: CommitRequest, result: CommitResult): void => {
    for (const write of writes) {
      const name = nameOf(write)
      const from = name === null ? undefined : this.#sent.get(name)
      if (name === null || from === undefined || !('value' in write)) continue
      // An attempt before this one may have passed without anybody hearing of it.
      const found = result.ok ? null : result.found[checks.findIndex(({ key }) => key === write.key)]
      if (!result.ok && (!found || Buffer.compare(found.value, write.value) !== 0)) continue
      this.#sent.delete(name)
      const taken = owned(write)
      if (!taken) this.#tell({ e: 'beat', from })
      else if (taken.server !== '') {
        this.#taken.add(taken.shard)
        this.#tell({ e: 'owner', ...taken, from })
      }
    }
  }
}

/** Of what is told of; null: it is not. */
function nameOf(write: Write): string | null {
  if (!('value' in write) || !(MEMBER.test(write.key) || OWNER.test(write.key))) return null
  return `${write.key} ${Buffer.from(write.value).toString('base64')}`
}

/** Of the log of a shard. */
function deletedBy(writes: readonly Write[]): { from: string; to: string }[] {
  return writes.flatMap(write => {
    if ('value' in write) return []
    const { from, to } = 'from' in write ? write : { from: write.key, to: `${write.key}\0` }
    return LOG.test(from) ? [{ from, to }] : []
  })
}

/** What an owner record says, if it is one. */
function owned(write: { key: string; value: Uint8Array }): { shard: number; server: string; epoch: number } | null {
  const match = OWNER.exec(write.key)
  if (!match) return null
  const { server, epoch } = decodeOwner({ ...write, modRevision: 0 })
  return { shard: Number(match[1]), server, epoch }
}
