import { v2 } from '@holdfast/protocol/v2'
import { answer, mayRead, nowAt, route } from '../call.ts'
import { visibleLocks } from '../listing.ts'
import { pageOf, pageOptions } from '../pages.ts'
import { wireLock } from '../views.ts'

export const listLocks = route(v2.listLocks, async call => {
  const { limit, after } = pageOptions(call.query)
  const { locks, more } = await visibleLocks(call, { prefix: call.query.prefix ?? '', after, limit })
  const last = more ? locks.at(-1)?.lock : undefined
  const listed = locks.map(lock => {
    const wire = wireLock(lock, nowAt(call))
    // That there is a lock, and who has it, is not what somebody has written there.
    if (wire.value && !mayRead(call, lock.lock)) delete wire.value
    return wire
  })
  return answer(200, { locks: listed, ...pageOf(call, { limit, last }) })
})
