/** That there is a lock, and who has it, is not what somebody has written there: the value is shown to those who may read the lock, whatever it comes with. */
import { type Verdict, verdictOf } from '../policies/port.ts'
import { type Call, mayRead } from './call.ts'
import { decide } from './permission.ts'

type Valued = { value?: unknown }

/** Of many locks: what would have to be fetched is not waited for, and the value is left out. */
export function withoutUnread(call: Call, lock: string, shown: Valued): void {
  if (shown.value !== undefined && !mayRead(call, lock)) delete shown.value
}

/** Of one lock: the decision is waited for. Resolves to whether the value may be shown; it is left out also when nobody could say (null). */
export async function withoutUnreadOne({ doors, caller }: Call, lock: string, shown: Valued): Promise<Verdict> {
  if (shown.value === undefined) return true
  const verdict = verdictOf(await decide(doors, caller, { action: 'lock.read', lock }))
  if (!verdict) delete shown.value
  return verdict
}
