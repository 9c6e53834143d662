import { v2 } from '@holdfast/protocol/v2'
import { answer, ask, askerOf, route } from '../call.ts'
import { wireFreeze } from '../views.ts'

export const listFreezes = route(v2.listFreezes, async call => {
  const { freezes } = await ask(call, { ...askerOf(call), type: 'list_freezes' }, 'freezes')
  return answer(200, { freezes: freezes.map(wireFreeze) })
})
