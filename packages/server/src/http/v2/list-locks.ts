import { v2 } from '@holdfast/protocol/v2'
import { answer, nowAt, route } from '../call.ts'
import { visibleLocks } from '../listing.ts'
import { pageOf, pageOptions } from '../pages.ts'
import { withoutUnread } from '../values.ts'
import { wireLock } from '../views.ts'

export const listLocks = route(v2.listLocks, async call => {
  const { limit, after } = pageOptions(call.query)
  const { locks, more } = await visibleLocks(call, { prefix: call.query.prefix ?? '', after, limit })
  const last = more ? locks.at(-1)?.lock : undefined
  const listed = locks.map(lock => {
    const wire = wireLock(lock, nowAt(call))
    withoutUnread(call, lock.lock, wire)
    return wire
  })
  return answer(200, { locks: listed, ...pageOf(call, { limit, last }) })
})
