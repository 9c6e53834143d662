import { v2 } from '@holdfast/protocol/v2'
import { answer, ask, askerOf, ownSessionOf, route } from '../call.ts'

export const closeSession = route(v2.closeSession, async call => {
  await ask(
    call,
    { ...askerOf(call), type: 'close_session', session: ownSessionOf(call, call.params.session_id) },
    'done',
  )
  return answer(204, null)
})
