import { v2 } from '@holdfast/protocol/v2'
import { parseProgress, progressText } from '../../audit/progress.ts'
import { answer, route } from '../call.ts'
import { invalid } from '../reply.ts'

export const verifyAudit = route(v2.verifyAudit, async call => {
  const { start, heads } = call.body
  const from = start === undefined ? undefined : parseProgress(start)
  if (from === null)
    throw invalid('field', { name: 'start', message: '`start` must come from `next` of the part before.' })
  const { next, ...checked } = await call.doors.audit.check(from, heads ?? [])
  return answer(200, next ? { ...checked, next: progressText(next) } : checked)
})
