import { v2 } from '@holdfast/protocol/v2'
import { answer, ask, askerOf, nowAt, route } from '../call.ts'
import { wireLock, wireWaiter } from '../views.ts'

export const showQueue = route(v2.showQueue, async call => {
  const { lock, waiters } = await ask(call, { ...askerOf(call), type: 'queue', lock: call.params.name }, 'queue')
  return answer(200, { lock: wireLock(lock, nowAt(call)), waiters: waiters.map(wireWaiter) })
})
