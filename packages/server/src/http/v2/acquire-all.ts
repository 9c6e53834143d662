import { v2 } from '@holdfast/protocol/v2'
import { askCounted } from '../acquiring.ts'
import { answer, askerOf, route, sessionOf } from '../call.ts'
import { acquireOf, claimOf } from '../connect/commands.ts'
import { wireGrant } from '../views.ts'

export const acquireAll = route(v2.acquireAll, async call => {
  const { body } = call
  const session = sessionOf(call)
  const fields = { ...body, wait_ms: body.wait_ms ?? 0 }
  const rest = {
    by: call.caller.subject,
    session,
    claims: body.locks.map(claimOf),
    request: body.request_id ?? null,
    value: undefined,
  }
  const command = { ...acquireOf(fields, rest), ...askerOf(call) }
  const { grants, confers, waitedMs } = await askCounted(call, command)
  return answer(200, {
    grants: grants.map(wireGrant),
    session_id: session,
    ttl_ms: confers.ttlMs,
    changes: confers.changes,
    waited_ms: waitedMs,
  })
})
