import { v2 } from '@holdfast/protocol/v2'
import { askCounted } from '../acquiring.ts'
import { answer, askerOf, route, sessionOf } from '../call.ts'
import { acquireOf, claimOf } from '../connect/commands.ts'
import { acquiredBody } from './acquired.ts'

export const acquireLock = route(v2.acquireLock, async call => {
  const { body } = call
  const { name } = call.params
  const session = sessionOf(call)
  const fields = { ...body, wait_ms: body.wait_ms ?? 0 }
  const rest = {
    by: call.caller.subject,
    session,
    claims: [claimOf({ ...body, name })],
    request: body.request_id ?? null,
    value: body.value,
  }
  const command = { ...acquireOf(fields, rest), ...askerOf(call) }
  return answer(200, acquiredBody(await askCounted(call, command)))
})
