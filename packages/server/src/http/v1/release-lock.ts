import { v1 } from '@holdfast/protocol/v1'
import { answer, ask, askerOf, route } from '../call.ts'
import { singleOf } from './lock-id.ts'

export const releaseLock = route(v1.releaseLock, async call => {
  await ask(
    call,
    { ...askerOf(call), type: 'release_single', session: singleOf(call, call.body.lock_id), lock: call.params.name },
    'released',
  )
  return answer(200, { released: true })
})
