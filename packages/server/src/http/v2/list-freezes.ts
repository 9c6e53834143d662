import { v2 } from '@holdfast/protocol/v2'
import { answer, ask, askerOf, route } from '../call.ts'
import { sees } from '../permission.ts'
import { wireFreeze } from '../views.ts'

export const listFreezes = route(v2.listFreezes, async call => {
  const { freezes } = await ask(call, { ...askerOf(call), type: 'list_freezes' }, 'freezes')
  // A freeze is the business of whoever may see one of the locks that it stops.
  const visible = freezes.filter(({ prefix }) =>
    sees(call.doors, call.caller, { action: 'lock.list', lock: null, under: prefix }),
  )
  return answer(200, { freezes: visible.map(wireFreeze) })
})
