/**
 * A member may be slow and yet answer everything: its disk, its machine or the way to it. No call fails, so nothing else leads away from it, while
 * others would answer in a moment.
 *
 * What its answers take tells nothing by itself, for the whole store may be slow, or we. So the same small question is put to all at once, one that is
 * answered with the consent of a quorum: a member that is cut off from the others is not quick.
 */
import { type Clock, pause } from '../../clock.ts'
import type { Calls } from './calls.ts'

/** An answer that takes longer is looked into. */
export const SLOW_MS = 100
/** What is not so many times as quick is not worth a change. */
const TIMES = 3
/** After a look that has found nothing better. */
export const LOOK_AGAIN_MS = 2_000

/** The one of the others that has answered before the slow one in any case should have; null when there is none, or it is not slow after all. */
export async function quickerThan(
  slow: Calls,
  { others, clock }: { others: readonly { url: string; calls: Calls }[]; clock: Clock },
): Promise<string | null> {
  const beganMs = clock.hrtimeMs()
  let isAnswered = false
  const answered = () => {
    isAnswered = true
  }
  // If it fails, that alone leads away from it.
  ask(slow).then(answered, answered)
  const first = await Promise.any(others.map(({ url, calls }) => ask(calls).then(() => url))).catch(() => null)
  const tookMs = clock.hrtimeMs() - beganMs
  await pause(clock, Math.max(SLOW_MS, tookMs * TIMES) - tookMs)
  // It may have been this process that was slow: then the answer lies in the socket.
  await new Promise<void>(resolve => clock.afterPoll(resolve))
  return isAnswered ? null : first
}

function ask(calls: Calls): Promise<unknown> {
  return calls.memberList({ isLinearizable: true })
}
