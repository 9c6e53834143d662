import { v2 } from '@holdfast/protocol/v2'
import { answer, ask, askerOf, mayRead, route } from '../call.ts'
import { visibleGrants, visibleWaiter } from '../hiding.ts'
import { wireGrant } from '../views.ts'

export const getSession = route(v2.getSession, async call => {
  const { session, grants, waits } = await ask(
    call,
    { ...askerOf(call), type: 'show_session', session: call.params.session_id },
    'session_view',
  )
  const sees = (lock: string) => mayRead(call, lock)
  return answer(200, {
    session_id: session.id,
    ttl_ms: session.ttlMs,
    changes: session.changes,
    ...(session.labels && { labels: session.labels }),
    grants: visibleGrants(grants, sees).map(wireGrant),
    waits: waits
      .map(wait => visibleWaiter(wait, sees))
      .map(wait => ({
        locks: wait.locks,
        mode: wait.mode,
        position: wait.position,
        waited_ms: wait.waitedMs,
      })),
  })
})
