import { v2 } from '@holdfast/protocol/v2'
import { answer, ask, askerOf, route } from '../call.ts'
import { ifMatch } from '../etag.ts'

export const deleteLock = route(v2.deleteLock, async call => {
  const ifVersion = ifMatch(call.request.headers['if-match'])
  await ask(call, { ...askerOf(call), type: 'delete_lock', lock: call.params.name, ifVersion }, 'done')
  return answer(204, null)
})
