/** What the shards tell the outside of themselves: one function a happening. None may throw, none is waited for. */
import type { Entry, Report } from '../locks/model.ts'

/** `decidedMs`: on the clock of the process, after all of it was received and before any of it was decided. */
export type TurnAnswered = {
  shard: number
  epoch: number
  seq: number
  commands: number
  asked: number
  isLogged: boolean
  decidedMs: number
}

export interface ShardTelemetry {
  batchCommitted(batch: { shard: number; commands: number; entries: number; bytes: number; ms: number }): void
  /** What a durable batch has changed; `at` is wall time. */
  happened(batch: { written: readonly { instance: string; entries: readonly Entry[] }[]; at: number }): void
  /** What was asked in a turn has been answered: by its batch if it is logged, else from memory, on the state that batches before `seq` made. */
  turnAnswered(turn: TurnAnswered): void
  sessionExpired(session: { instance: string; session: string }): void
  recovered(shard: { shard: number; epoch: number; batches: number; entries: number; bytes: number; ms: number }): void
  cleaned(shard: { shard: number; batches: number; carried: number }): void
  beat(beat: { ms: number; ok: boolean }): void
  /** Another server has been silent for its time, and was declared dead. */
  died(member: { server: string }): void
  /** This server decides for the shard from now on, or no longer does. */
  owned(shard: { shard: number; isOwned: boolean }): void
  /** A commit whose outcome is not known yet: it is tried again. */
  commitUnknown(commit: { what: string; attempt: number; error: unknown }): void
  /** The working state has been thrown away; callers were told that the outcome is unknown. */
  dropped(shard: { shard: number; reason: string; error: unknown }): void
  report(report: { instance: string; report: Report }): void
  /** A tick came this much later than it should have. */
  loopStalled(stall: { ms: number }): void
  /** A look at the room in the store; `isFull`: what would grow it is refused. */
  storage(storage: { usedBytes: number; liveBytes: number; quotaBytes: number | null; isFull: boolean }): void
  /** Something that must not be: a person should look. */
  alarm(alarm: { what: string; error: unknown }): void
}

export const silentTelemetry: ShardTelemetry = {
  batchCommitted: () => undefined,
  happened: () => undefined,
  turnAnswered: () => undefined,
  sessionExpired: () => undefined,
  recovered: () => undefined,
  cleaned: () => undefined,
  beat: () => undefined,
  died: () => undefined,
  owned: () => undefined,
  commitUnknown: () => undefined,
  dropped: () => undefined,
  report: () => undefined,
  loopStalled: () => undefined,
  storage: () => undefined,
  alarm: () => undefined,
}
