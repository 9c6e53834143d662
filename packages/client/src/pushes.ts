/** What the server says unasked. None of it confers time; all of it is said again by the list of grants, should it be lost on the way. */
import type { ServerMessage } from '@holdfast/protocol/frame'
import type { Instant } from './clock.ts'
import { lostReason } from './errors.ts'
import type { Ledger } from './ledger.ts'
import type { SessionEvent } from './options.ts'
import type { Renewal } from './renewal.ts'

export type Push = Extract<ServerMessage, { type: 'lost' | 'preempting' | 'received' | 'expiring' }>

export function handlePush(
  push: Push,
  session: { ledger: Ledger; renewal: Renewal; now: Instant; report(event: SessionEvent): void },
): void {
  const { ledger, renewal, now } = session
  const holding = ledger.holdings.get(push.token)
  switch (push.type) {
    case 'expiring':
      if (holding) ledger.expiring(holding, Math.min(push.ends_in_ms, holding.limitMs(now)))
      return
    case 'lost':
      if (holding) void ledger.lose(holding, lostReason(push.reason))
      // The only thing that has happened since: nothing else needs to be fetched.
      if (push.changes === ledger.belief.processedChanges + 1) ledger.belief.processedChanges = push.changes
      break
    case 'preempting':
      if (holding) ledger.noticed(holding, { by: push.by, reason: push.reason, graceMs: push.grace_ms }, now)
      break
    case 'received':
      session.report({ type: 'received', lock: push.name, token: push.token })
      break
  }
  if (push.changes > ledger.belief.processedChanges) renewal.catchUp()
  else renewal.acknowledge()
}
