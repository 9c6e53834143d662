/** `lock_id` is `<session>.<secret>` of the session that an acquire made for its one grant. */
import type { Call } from '../call.ts'
import { Refused } from '../reply.ts'

/** @throws {Refused} `lock_lost`, whatever is wrong with it: no hint whether such a grant exists. */
export function singleOf(call: Call, lockId: string): string {
  const session = call.doors.secrets.open(call.caller.instance, lockId)
  if (session !== null) return session
  throw new Refused({
    code: 'lock_lost',
    message: 'The grant has ended: it was not renewed in time, or never was.',
    reason: 'expired',
  })
}
