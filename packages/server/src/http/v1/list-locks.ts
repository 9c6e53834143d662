import { v1 } from '@holdfast/protocol/v1'
import { answer, nowAt, route } from '../call.ts'
import { visibleLocks } from '../listing.ts'
import { pageOf, pageOptions } from '../pages.ts'
import { v1LockOf } from './views.ts'

export const listLocks = route(v1.listLocks, async call => {
  const { limit, after } = pageOptions(call.query)
  const { locks, more } = await visibleLocks(call, { prefix: call.query.prefix ?? '', after, limit })
  const last = more ? locks.at(-1)?.lock : undefined
  return answer(200, { locks: locks.map(lock => v1LockOf(lock, nowAt(call))), ...pageOf(call, { limit, last }) })
})
