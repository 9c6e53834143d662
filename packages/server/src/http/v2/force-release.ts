import { v2 } from '@holdfast/protocol/v2'
import { answer, ask, askerOf, route } from '../call.ts'
import { wireEnded } from './ended.ts'

export const forceRelease = route(v2.forceRelease, async call => {
  const { reason, token, now } = call.body
  const command = {
    ...askerOf(call),
    type: 'force_release',
    lock: call.params.name,
    token: token ?? null,
    reason,
    now: now ?? false,
  } as const
  return answer(200, wireEnded(await ask(call, command, 'ended')))
})
