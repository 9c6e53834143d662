/** What a waiter is told when its wait has ended, from the entry that ended it. */
import type { Moment } from './draft.ts'
import type { Entry, Gone, Reply } from './model.ts'
import { grantedReply, lost } from './requests.ts'
import { grantOf, type State } from './state.ts'
import { heldView, reasonNotFree } from './views.ts'

type Ended = Extract<Entry, { record: 'wait' }>
type WaitAnswer = Exclude<Reply, { ok: 'queued' }>

/** `entry` is a removed `wait` record with its `gone`, applied to the state. The answer is what is true now, not what was. */
export function waitAnswer(state: State, entry: Ended, moment: Moment): WaitAnswer {
  const { gone } = entry
  if (!gone) throw new Error('a wait has ended without its waiter')
  const waitedMs = Math.max(0, Math.floor(moment.now - gone.waiter.sinceMs))
  const answer = answerTo(state, { ...entry, gone }, { ...moment, waitedMs })
  return answer.ok ? answer : { ...answer, waitedMs }
}

function answerTo(state: State, entry: Ended & { gone: Gone }, moment: Moment & { waitedMs: number }): WaitAnswer {
  const { gone, why } = entry
  const { waiter, grants } = gone
  if (grants) {
    // Granted and ended within one batch: the holder must not hear of the first without the second.
    const ended = grants.find(grant => grantOf(state.locks.get(grant.lock), grant.token)?.session !== waiter.session)
    if (ended) return lost(state, ended.token)
    return grantedReply({ state, now: moment.now }, waiter.session, grants, moment.waitedMs)
  }
  if (gone.refusal) return gone.refusal
  switch (why?.reason) {
    case 'deadlock':
      return { ok: false, code: 'deadlock', cycle: why.cycle ?? [] }
    case 'expired':
      return { ok: false, code: 'lock_lost', reason: 'expired' }
    case 'session_closed':
      return { ok: false, code: 'lock_lost', reason: 'session_closed' }
    default: {
      const reason =
        why?.reason === 'cancelled'
          ? 'cancelled'
          : why?.reason === 'timeout'
            ? 'timeout'
            : reasonNotFree(state, waiter.claims)
      return {
        ok: false,
        code: 'lock_held',
        reason,
        held: heldView(state, waiter.claims, { now: moment.now, session: waiter.session }),
      }
    }
  }
}
