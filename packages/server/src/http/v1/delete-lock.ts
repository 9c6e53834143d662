import { v1 } from '@holdfast/protocol/v1'
import { answer, ask, askerOf, route } from '../call.ts'
import { inSeconds } from './refusals.ts'

export const deleteLock = route(v1.deleteLock, async call => {
  await inSeconds(ask(call, { ...askerOf(call), type: 'delete_lock', lock: call.params.name, ifVersion: null }, 'done'))
  return answer(204, null)
})
