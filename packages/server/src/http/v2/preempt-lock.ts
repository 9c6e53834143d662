import { GRACE_MS_DEFAULT } from '@holdfast/protocol/limits'
import { v2 } from '@holdfast/protocol/v2'
import { answer, ask, askerOf, route } from '../call.ts'
import { wireEnded } from './ended.ts'

export const preemptLock = route(v2.preemptLock, async call => {
  const { reason, token, grace_ms } = call.body
  const how = { token: token ?? null, reason, graceMs: grace_ms ?? GRACE_MS_DEFAULT }
  const command = { ...askerOf(call), type: 'preempt', lock: call.params.name, ...how } as const
  return answer(200, wireEnded(await ask(call, command, 'ended')))
})
