import { v2 } from '@holdfast/protocol/v2'
import { answer, route } from '../call.ts'
import { timestamp } from '../views.ts'
import { wireHold } from './audit-views.ts'

export const showHeld = route(
  v2.showHeld,
  async call => {
    const { name } = call.params
    const atMs = Date.parse(call.query.at)
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
    const at = timestamp(Date.parse(call.query.at))
    return answer(200, { name: call.params.name, at, holders: [], waiters: [], is_complete: true })
  },
)
