import { v2 } from '@holdfast/protocol/v2'
import { answer, ask, askerOf, route } from '../call.ts'

export const validateToken = route(v2.validateToken, async call => {
  const { grant } = await ask(
    call,
    { ...askerOf(call), type: 'validate', lock: call.params.name, token: call.body.token },
    'valid',
  )
  return answer(200, { valid: true, token: grant.token, holder: grant.holder })
})
