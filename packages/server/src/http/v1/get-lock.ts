import { v1 } from '@holdfast/protocol/v1'
import { absent, answer, ask, askerOf, nowAt, route } from '../call.ts'
import { v1LockOf } from './views.ts'

export const getLock = route(
  v1.getLock,
  async call => {
    const { lock } = await ask(call, { ...askerOf(call), type: 'show', lock: call.params.name }, 'lock')
    return answer(200, v1LockOf(lock, nowAt(call)))
  },
  absent('lock'),
)
