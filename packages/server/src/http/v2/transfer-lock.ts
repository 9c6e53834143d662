import { v2 } from '@holdfast/protocol/v2'
import { answer, ask, askerOf, route, sessionOf } from '../call.ts'

export const transferLock = route(v2.transferLock, async call => {
  const { token, to_session: toSession, request_id } = call.body
  const where = { session: sessionOf(call), lock: call.params.name, token, toSession }
  const reply = await ask(
    call,
    { ...askerOf(call), type: 'transfer', ...where, request: request_id ?? null },
    'transferred',
  )
  return answer(200, { token: reply.token })
})
