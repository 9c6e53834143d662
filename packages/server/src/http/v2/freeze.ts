import { v2 } from '@holdfast/protocol/v2'
import { answer, ask, askerOf, route } from '../call.ts'
import { invalid } from '../reply.ts'
import { wireFreeze } from '../views.ts'

export const freeze = route(v2.freeze, async call => {
  const { prefix, until, reason } = call.body
  const untilAt = Date.parse(until)
  if (Number.isNaN(untilAt))
    throw invalid('field', { name: 'until', message: '`until` must be a time like 2027-01-02T08:00:00Z.' })
  const reply = await ask(call, { ...askerOf(call), type: 'freeze', prefix, untilAt, reason }, 'frozen')
  return answer(201, wireFreeze(reply.freeze))
})
