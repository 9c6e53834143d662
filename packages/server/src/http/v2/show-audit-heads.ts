import { v2 } from '@holdfast/protocol/v2'
import { digestOf } from '../../audit/chain.ts'
import { answer, route } from '../call.ts'

export const showAuditHeads = route(v2.showAuditHeads, async call => {
  const heads = await call.doors.audit.heads()
  return answer(200, { heads, digest: digestOf(heads) })
})
