import { v2 } from '@holdfast/protocol/v2'
import { answer, ask, askerOf, route } from '../call.ts'

export const thaw = route(v2.thaw, async call => {
  await ask(call, { ...askerOf(call), type: 'thaw', prefix: call.query.prefix }, 'done')
  return answer(204, null)
})
