import { PAGE_LIMIT_DEFAULT } from '@holdfast/protocol/limits'
import { v2 } from '@holdfast/protocol/v2'
import { answer, route } from '../call.ts'
import { pageOf } from '../pages.ts'

export const showHistory = route(
  v2.showHistory,
  async call => {
    const limit = call.query.limit ?? PAGE_LIMIT_DEFAULT
    const before = call.query.start !== undefined && { before: call.query.start }
    const options = { lock: call.params.name, limit, ...before }
    const { events, more } = await call.doors.shards.history(call.caller.instance, options)
    const last = more ? events.at(-1)?.id : undefined
    return answer(200, { events, ...pageOf(call, { limit, last, asIs: true }) })
  },
  async call => {
    const limit = call.query.limit ?? PAGE_LIMIT_DEFAULT
    return answer(200, { events: [], ...pageOf(call, { limit, last: undefined }) })
  },
)
