import { v2 } from '@holdfast/protocol/v2'
import { absent, answer, ask, askerOf, mayRead, nowAt, route } from '../call.ts'
import { visibleWaiter } from '../hiding.ts'
import { wireLock, wireWaiter } from '../views.ts'

export const showQueue = route(
  v2.showQueue,
  async call => {
    const { lock, waiters } = await ask(call, { ...askerOf(call), type: 'queue', lock: call.params.name }, 'queue')
    const visible = waiters.map(waiter => visibleWaiter(waiter, name => mayRead(call, name)))
    return answer(200, { lock: wireLock(lock, nowAt(call)), waiters: visible.map(wireWaiter) })
  },
  absent('lock'),
)
