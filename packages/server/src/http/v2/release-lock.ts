import { v2 } from '@holdfast/protocol/v2'
import { answer, route } from '../call.ts'
import { releaseGrants } from './releasing.ts'

export const releaseLock = route(v2.releaseLock, async call => {
  const { token, request_id } = call.body
  return answer(200, await releaseGrants(call, [{ name: call.params.name, token }], request_id))
})
