/** The second half of a turn: what was decided becomes a batch of the log, and, when it is durable, events. */
import type { Clock } from '../clock.ts'
import { encodeBatch, GroupText, textBytesOf } from './batch.ts'
import type { Feed } from './feed.ts'
import type { Logged } from './port.ts'
import type { ShardTelemetry } from './telemetry.ts'
import type { Chunk, OpenTurn, Turn } from './turn.ts'
import type { Working } from './working.ts'

export type CommitOptions = {
  clock: Clock
  feed: Feed
  shard: number
  telemetry: ShardTelemetry
  working: Working
  open: OpenTurn
  /** Hears of each batch, in order; must not throw. */
  logged?(batch: Logged): void
  /** Nobody else uses it: by it an append of unknown outcome is told from somebody else's. */
  batchId(): string
}

/** Resolves when all of the turn is durable. Throws what `ShardLog.append` throws. */
export async function commitTurn(options: CommitOptions): Promise<void> {
  const { clock, shard, telemetry, working, open } = options
  const { turn, chosen, carriedText } = open
  let cleaned = chosen
  let appendedBytes = 0
  for (const chunk of turn.chunks) {
    const startedMs = clock.hrtimeMs()
    const bytes = encode(options, turn, chunk, cleaned ? carriedText : new GroupText())
    await working.log.append(bytes, working.ownership, cleaned)
    working.archive.appended(bytes.length)
    const ownBytes = textBytesOf(bytes) - (cleaned ? carriedText.bytes : 0)
    appendedBytes += ownBytes
    if (chunk.entries > 0) working.cleaner.appended(ownBytes)
    if (cleaned) {
      working.cleaner.committed(cleaned)
      telemetry.cleaned({ shard, batches: cleaned.batches, carried: cleaned.carriedEntries })
    }
    cleaned = null
    const ms = clock.hrtimeMs() - startedMs
    telemetry.batchCommitted({ shard, commands: turn.commands, entries: chunk.entries, bytes: bytes.length, ms })
  }
  turn.isLogged = true
  working.appendedBytes = appendedBytes
}

/** Tells of a turn that is durable whoever follows the log: in the order of turns, and while the disk is busy with the next. */
export function publishTurn(
  { feed, shard, telemetry, logged }: Pick<CommitOptions, 'feed' | 'shard' | 'telemetry' | 'logged'>,
  turn: Turn,
): void {
  if (!turn.isLogged) return
  for (const chunk of turn.chunks) feed.publish({ seq: chunk.seq, at: turn.moment.at }, chunk.written)
  for (const { seq, written } of turn.chunks) logged?.({ shard, seq, at: turn.moment.at, written })
  for (const { written } of turn.chunks) telemetry.happened({ written, at: turn.moment.at })
}

function encode({ working, batchId }: CommitOptions, turn: Turn, chunk: Chunk, carried: GroupText): Buffer {
  return encodeBatch(
    {
      id: batchId(),
      seq: chunk.seq,
      epoch: working.ownership.epoch,
      prev: working.log.end.hash,
      now: turn.moment.now,
      at: turn.moment.at,
      live: working.cleaner.liveBytes,
    },
    { carried, entries: chunk.text },
  )
}
