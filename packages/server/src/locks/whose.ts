/** Who is behind an entry, for the audit trail: every entry says it by itself, so that a trail can be read from any place on. */
import type { Why } from './model.ts'
import { liveSession, type State } from './state.ts'

/** Adds whose session it is, and the address: `from` of the request, else where the session was opened. */
export function noteWhose(why: Why, state: State, session: string, from: string | undefined): Why {
  const record = liveSession(state, session)?.record
  if (record && record.by !== why.by) why.who = record.by
  const address = from ?? record?.from
  if (address !== undefined) why.from = address
  return why
}
