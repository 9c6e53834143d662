import { v1 } from '@holdfast/protocol/v1'
import { route } from '../call.ts'
import { streamEvents } from '../sse.ts'

export const watchLock = route(v1.watchLock, async call =>
  streamEvents(call, { name: call.params.name }, call.query.cursor),
)
