import { v2 } from '@holdfast/protocol/v2'
import { answer, ask, askerOf, nowAt, route } from '../call.ts'
import { pageOf, pageOptions } from '../pages.ts'
import { wireLock } from '../views.ts'

export const listLocks = route(v2.listLocks, async call => {
  const { limit, after } = pageOptions(call.query)
  const reply = await ask(
    call,
    { ...askerOf(call), type: 'list', prefix: call.query.prefix ?? '', after, limit },
    'locks',
  )
  const last = reply.more ? reply.locks.at(-1)?.lock : undefined
  return answer(200, { locks: reply.locks.map(lock => wireLock(lock, nowAt(call))), ...pageOf(call, { limit, last }) })
})
