import { v2 } from '@holdfast/protocol/v2'
import { askCounted } from '../acquiring.ts'
import { answer, askerOf, route, sessionOf } from '../call.ts'
import { acquireOf, claimOf } from '../connect/commands.ts'
import { acquiredBody } from './acquired.ts'

/** To lead is to hold the lock of that name; the value is written in the step of the grant. */
export const campaign = route(v2.campaign, async call => {
  const { body } = call
  const fields = { ...body, wait_ms: body.wait_ms ?? 0 }
  const rest = {
    by: call.caller.subject,
    session: sessionOf(call),
    claims: [claimOf({ name: call.params.name })],
    request: body.request_id ?? null,
    value: body.value,
  }
  const command = { ...acquireOf(fields, rest), ...askerOf(call) }
  return answer(200, acquiredBody(await askCounted(call, command)))
})
