import { v2 } from '@holdfast/protocol/v2'
import type { Command } from '../../locks/model.ts'
import { answer, ask, askerOf, nowAt, ownSessionOf, route } from '../call.ts'
import { timestamp, wireGrant } from '../views.ts'

export const renewSession = route(v2.renewSession, async call => {
  const session = ownSessionOf(call, call.params.session_id)
  const command: Extract<Command, { type: 'renew' }> = { ...askerOf(call), type: 'renew', session }
  if (call.body.ttl_ms !== undefined) command.ttlMs = call.body.ttl_ms
  if (call.body.seen_changes !== undefined) command.seenChanges = call.body.seen_changes
  const { confers, grants } = await ask(call, command, 'renewed')
  return answer(200, {
    session_id: session,
    ttl_ms: confers.ttlMs,
    changes: confers.changes,
    expires_at: timestamp(nowAt(call) + confers.ttlMs),
    ...(grants && { grants: grants.map(wireGrant) }),
  })
})
