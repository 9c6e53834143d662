import { v2 } from '@holdfast/protocol/v2'
import { CLOCK_SLACK_MS } from '../../audit/filter.ts'
import { answer, type Call, nowAt, route } from '../call.ts'
import { invalid } from '../reply.ts'
import { timestamp } from '../views.ts'
import { wireHold } from './audit-views.ts'

export const showHeld = route(
  v2.showHeld,
  async call => {
    const { name } = call.params
    const atMs = timeOf(call)
    const { holds, waits, isComplete, knownSinceMs } = await call.doors.audit.heldAt({
      instance: call.caller.instance,
      lock: name,
      atMs,
    })
    const waiters = waits.map(({ holder, session, sinceMs }) => ({ holder, session, since: timestamp(sinceMs) }))
    return answer(200, {
      name,
      at: timestamp(atMs),
      holders: holds.map(wireHold),
      waiters,
      is_complete: isComplete,
      ...(knownSinceMs !== null && { known_since: timestamp(knownSinceMs) }),
    })
  },
  async call => {
    const at = timestamp(timeOf(call))
    return answer(200, { name: call.params.name, at, holders: [], waiters: [], is_complete: true })
  },
)

/** What will be cannot be told as what was. The clock of who asks, and that of the server that wrote it, may be ahead of ours. */
function timeOf(call: Call<typeof v2.showHeld>): number {
  const atMs = Date.parse(call.query.at)
  if (atMs <= nowAt(call) + CLOCK_SLACK_MS) return atMs
  throw invalid('parameter', { name: 'at', message: '`at` is in the future: who will hold the lock is not known.' })
}
