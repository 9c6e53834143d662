import { v2 } from '@holdfast/protocol/v2'
import { absent, answer, ask, askerOf, nowAt, route } from '../call.ts'
import { etagHeaders } from '../etag.ts'
import { wireLock } from '../views.ts'

export const getLock = route(
  v2.getLock,
  async call => {
    const { lock } = await ask(call, { ...askerOf(call), type: 'show', lock: call.params.name }, 'lock')
    return answer(200, wireLock(lock, nowAt(call)), etagHeaders(lock))
  },
  absent('lock'),
)
