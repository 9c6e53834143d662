import { PAGE_LIMIT_DEFAULT } from '@holdfast/protocol/limits'
import { v2 } from '@holdfast/protocol/v2'
import type { HistoryOptions } from '../../shards/port.ts'
import { answer, type Call, route } from '../call.ts'
import { pageOf } from '../pages.ts'

export const showHistory = route(
  v2.showHistory,
  async call => {
    const limit = call.query.limit ?? PAGE_LIMIT_DEFAULT
    const before = call.query.start !== undefined && { before: call.query.start }
    const { events, last } = await past(call, { lock: call.params.name, limit, ...before })
    return answer(200, { events, ...pageOf(call, { limit, last, asIs: true }) })
  },
  async call => {
    const limit = call.query.limit ?? PAGE_LIMIT_DEFAULT
    return answer(200, { events: [], ...pageOf(call, { limit, last: undefined }) })
  },
)

/** What the owner remembers, and behind that what the log and its archive have. */
async function past({ caller, doors }: Pick<Call, 'caller' | 'doors'>, options: HistoryOptions) {
  const { events, more } = await doors.shards.history(caller.instance, options)
  const oldest = events.at(-1)?.id ?? options.before
  if (more) return { events, last: oldest }
  const limit = options.limit - events.length
  if (limit === 0) return { events, last: oldest }
  const from = oldest === undefined ? {} : { before: oldest }
  const kept = await doors.audit.history({ instance: caller.instance, lock: options.lock, limit, ...from })
  return { events: [...events, ...kept.events], last: kept.next ?? undefined }
}
