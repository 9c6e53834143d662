import { v1 } from '@holdfast/protocol/v1'
import { answer, ask, askerOf, route } from '../call.ts'

export const deleteLock = route(v1.deleteLock, async call => {
  await ask(call, { ...askerOf(call), type: 'delete_lock', lock: call.params.name, ifVersion: null }, 'done')
  return answer(204, null)
})
