/** The details of a refusal, as `/v1` has them: in seconds. */
import { Refused } from '../reply.ts'
import { seconds, secondsUp } from './views.ts'

/** Rejects as `asked` does. */
export async function inSeconds<Reply>(asked: Promise<Reply>): Promise<Reply> {
  try {
    return await asked
  } catch (error) {
    if (!(error instanceof Refused)) throw error
    const { waited_ms, delayed_ms, ...wire } = error.wire
    if (typeof waited_ms === 'number') wire.waited_seconds = seconds(waited_ms)
    if (typeof delayed_ms === 'number') wire.delayed_seconds = secondsUp(delayed_ms)
    throw new Refused(wire)
  }
}
