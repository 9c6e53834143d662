import { v2 } from '@holdfast/protocol/v2'
import { answer, route } from '../call.ts'
import { releaseGrants } from './releasing.ts'

export const releaseAll = route(v2.releaseAll, async call => {
  const { grants, request_id } = call.body
  return answer(200, await releaseGrants(call, grants, request_id))
})
