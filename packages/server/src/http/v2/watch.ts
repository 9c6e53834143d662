import { v2 } from '@holdfast/protocol/v2'
import { route } from '../call.ts'
import { streamEvents } from '../sse.ts'

export const watch = route(v2.watch, async call =>
  streamEvents(call, { prefix: call.query.prefix ?? '' }, call.query.cursor),
)
