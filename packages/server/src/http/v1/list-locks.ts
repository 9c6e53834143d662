import { v1 } from '@holdfast/protocol/v1'
import { answer, ask, askerOf, nowAt, route } from '../call.ts'
import { pageOf, pageOptions } from '../pages.ts'
import { v1LockOf } from './views.ts'

export const listLocks = route(v1.listLocks, async call => {
  const { limit, after } = pageOptions(call.query)
  const reply = await ask(
    call,
    { ...askerOf(call), type: 'list', prefix: call.query.prefix ?? '', after, limit },
    'locks',
  )
  const last = reply.more ? reply.locks.at(-1)?.lock : undefined
  return answer(200, { locks: reply.locks.map(lock => v1LockOf(lock, nowAt(call))), ...pageOf(call, { limit, last }) })
})
