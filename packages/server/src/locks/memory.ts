/** Remembering what a request did, in the batch that does it. */
import type { Draft } from './draft.ts'
import type { Memory, Remembered, RequestId } from './model.ts'
import { liveSession, type State } from './state.ts'

/** For the entry that does it; null: there is nothing to remember, or nobody who could ask again. */
export function memoryOf(state: State, session: string, request: RequestId | null, did: Remembered): Memory | null {
  const live = liveSession(state, session)
  return request === null || !live || live.record.isSingle ? null : { session, request, did }
}

/** As an entry of its own, for what no single entry does. */
export function remember(draft: Draft, id: string, request: RequestId | null, did: Remembered): void {
  const memory = memoryOf(draft.state, id, request, did)
  if (memory) draft.put({ type: 'remembered', record: 'request', session: id, request: memory.request, value: did })
}
