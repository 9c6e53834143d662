/**
 * Staying awake while a small batch is being synced.
 *
 * A caller who is alone waits for one commit, and a commit takes a third of a millisecond. The event loop that goes to sleep meanwhile wakes up a
 * tenth of a millisecond late, more in a virtual machine: a quarter of what the caller waits for. So while a batch of few commands is in
 * flight the loop polls instead of sleeping, for about a millisecond at the most. Large batches need none of it: there the time belongs to others.
 * Decision 0008 has the figures.
 */
import type { Clock } from '../clock.ts'

/** A turn of more commands than this is one of many callers: throughput counts, not the wake-up. */
export const AWAKE_COMMANDS_MAX = 4
/** Two or three microseconds each; a disk that takes longer would not notice. */
const POLLS_MAX = 400

/** Polls until the returned function is called, or has polled enough. */
export function stayAwake(clock: Clock): () => void {
  let left = POLLS_MAX
  const poll = () => {
    if (left-- > 0) clock.afterPoll(poll)
  }
  poll()
  return () => {
    left = 0
  }
}
