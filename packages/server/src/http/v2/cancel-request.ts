import { v2 } from '@holdfast/protocol/v2'
import { answer, ask, askerOf, route, sessionOf } from '../call.ts'

export const cancelRequest = route(v2.cancelRequest, async call => {
  const cancels = call.body.request_id
  await ask(call, { ...askerOf(call), type: 'cancel', session: sessionOf(call), cancels, request: null }, 'done')
  return answer(200, { cancelled: true })
})
