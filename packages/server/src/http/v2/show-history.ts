import { PAGE_LIMIT_DEFAULT } from '@holdfast/protocol/limits'
import { v2 } from '@holdfast/protocol/v2'
import type { HistoryOptions } from '../../shards/port.ts'
import { answer, type Call, route } from '../call.ts'
import { invalidStart, pageOf } from '../pages.ts'

export const showHistory = route(
  v2.showHistory,
  async call => {
    const { limit, before } = pageOptions(call)
    const { events, last } = await past(call, {
      lock: call.params.name,
      limit,
      ...(before !== undefined && { before }),
    })
    return answer(200, { events, ...pageOf(call, { limit, last, asIs: true }) })
  },
  async call => {
    const { limit } = pageOptions(call)
    return answer(200, { events: [], ...pageOf(call, { limit, last: undefined }) })
  },
)

/** @throws {Refused} when `start` is no place in the log, whatever there is to see. */
function pageOptions({ query, doors }: Call<typeof v2.showHistory>): { limit: number; before: string | undefined } {
  const { limit = PAGE_LIMIT_DEFAULT, start } = query
  if (start !== undefined && !doors.audit.isEventId(start)) throw invalidStart()
  return { limit, before: start }
}

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
