import { v2 } from '@holdfast/protocol/v2'
import { answer, route } from '../call.ts'
import { releaseGrants } from './releasing.ts'

export const resign = route(v2.resign, async call => {
  const { token, request_id } = call.body
  await releaseGrants(call, [{ name: call.params.name, token }], request_id)
  return answer(200, { resigned: true })
})
