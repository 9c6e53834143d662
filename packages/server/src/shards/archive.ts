/** What a shard is told by, and asks of, those who keep the trail. */
import type { HoldfastError } from '@holdfast/protocol/errors'
import type { Command } from '../locks/model.ts'

/**
 * What a shard asks of the archive of its log; `audit/` is one. Batches are the trail of what happened, so the cleaner deletes none that has
 * not been copied: it waits, and the log grows meanwhile. Nothing here is on the way of a command.
 */
export interface ShardArchive {
  /** The cleaner may delete batches below this one. */
  readonly safeBefore: number
  /** The cleaner would like to delete batches below this one. */
  want(before: number): void
  /** Another batch is durable; as many bytes as it is stored in. */
  appended(bytes: number): void
  /** The shard is given up: nothing more is begun. */
  stop(): void
}

export type ArchivedShard = {
  shard: number
  /** How many the cluster has, whatever a server was told when it was started. */
  shards: number
  /** Of the owner record: whatever the archive writes checks it, as appends do. */
  ownerRevision(): number
  /** Called when `safeBefore` has grown. */
  progressed(): void
}

export type OpenArchive = (shard: ArchivedShard) => ShardArchive

/** Nothing is kept. */
export const noArchive: OpenArchive = () => ({
  safeBefore: Number.POSITIVE_INFINITY,
  want: () => undefined,
  appended: () => undefined,
  stop: () => undefined,
})

/** Called for each command that somebody asks: why it is refused now, whatever it is about; null: it is not. */
export type Gate = (command: Command) => HoldfastError | null
