import { v2 } from '@holdfast/protocol/v2'
import { verdictOf } from '../../policies/port.ts'
import { answer, ask, askerOf, type Call, mayRead, route, sessionOrNoneOf } from '../call.ts'
import { visibleGrants, visibleWaiter } from '../hiding.ts'
import { decide } from '../permission.ts'
import { wireGrant } from '../views.ts'

export const getSession = route(v2.getSession, async call => {
  const { session, grants, waits } = await ask(
    call,
    { ...askerOf(call), type: 'show_session', session: call.params.session_id },
    'session_view',
  )
  const labels = session.labels && (await mayReadLabels(call, session.id)) ? { labels: session.labels } : {}
  const sees = (lock: string) => mayRead(call, lock)
  return answer(200, {
    session_id: session.id,
    ttl_ms: session.ttlMs,
    changes: session.changes,
    ...labels,
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

/** They are about no lock, so a policy on some names says nothing of them: shown to who has the session's secret, and to who may read every lock. */
async function mayReadLabels(call: Call, session: string): Promise<boolean> {
  if (sessionOrNoneOf(call) === session) return true
  return verdictOf(await decide(call.doors, call.caller, { action: 'lock.read', lock: '', isPrefix: true })) === true
}
