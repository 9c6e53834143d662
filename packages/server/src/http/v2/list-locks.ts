import { v2 } from '@holdfast/protocol/v2'
import { answer, nowAt, route } from '../call.ts'
import { visibleLocks } from '../listing.ts'
import { pageOf, pageOptions } from '../pages.ts'
import { wireLock } from '../views.ts'

export const listLocks = route(v2.listLocks, async call => {
  const { limit, after } = pageOptions(call.query)
  const { locks, more } = await visibleLocks(call, { prefix: call.query.prefix ?? '', after, limit })
  const last = more ? locks.at(-1)?.lock : undefined
  return answer(200, { locks: locks.map(lock => wireLock(lock, nowAt(call))), ...pageOf(call, { limit, last }) })
})
