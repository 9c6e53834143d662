/**
 * A member may be slow and yet answer everything: its disk, its machine or the way to it. No call fails, so nothing else leads away from it, while
 * others would answer in a moment. Or it answers nothing, and each call that comes to it waits for as long as calls are waited for.
 *
 * What its answers take tells nothing by itself, for the whole store may be slow, or we. So the same small question is put to all at once, one that is
 * answered with the consent of a quorum: a member that is cut off from the others is not quick.
 */
import { type Clock, pause } from '../../clock.ts'
import type { Calls } from './calls.ts'

/** An answer that takes longer, or does not come for so long, is looked into. */
export const SLOW_MS = 100
/** What is not so many times as quick is not worth a change. */
const TIMES = 3
/** After a look that has found nothing better. */
export const LOOK_AGAIN_MS = 2_000
/** Others are asked for so long, which is longer than an election … */
const LOOKED_MS_MAX = 5_000
/** … again after this: those without a leader fail. */
const ASK_AGAIN_MS = 50

/** The one of the others that has an answer when the slow one in any case should have had one; null when there is none, or it is not slow after all. */
export async function quickerThan(
  slow: Calls,
  { others, clock, signal }: { others: readonly { url: string; calls: Calls }[]; clock: Clock; signal: AbortSignal },
): Promise<string | null> {
  let isAnswered = false
  const answered = () => {
    isAnswered = true
  }
  // If it fails, that alone leads away from it.
  ask(slow).then(answered, answered)
  const untilMs = clock.hrtimeMs() + LOOKED_MS_MAX
  const answering = others.map(other => askUntil(other.calls, { untilMs, clock, signal }).then(() => other))
  const first = await Promise.any(answering).catch(() => null)
  if (first === null) return null
  // What it has waited for may have been an election: how quick it is shows when it is asked once more.
  const beganMs = clock.hrtimeMs()
  const again = await ask(first.calls).catch(() => null)
  if (again === null) return null
  const tookMs = clock.hrtimeMs() - beganMs
  await pause(clock, Math.max(SLOW_MS, tookMs * TIMES) - tookMs, signal)
  // It may have been this process that was slow: then the answer lies in the socket.
  await new Promise<void>(resolve => clock.afterPoll(resolve))
  return isAnswered ? null : first.url
}

function ask(calls: Calls): Promise<unknown> {
  return calls.memberList({ isLinearizable: true })
}

type Until = { untilMs: number; clock: Clock; signal: AbortSignal }

async function askUntil(calls: Calls, { untilMs, clock, signal }: Until): Promise<void> {
  for (;;) {
    try {
      await ask(calls)
      return
    } catch (error) {
      if (signal.aborted || clock.hrtimeMs() > untilMs) throw error
    }
    await pause(clock, ASK_AGAIN_MS, signal)
  }
}
